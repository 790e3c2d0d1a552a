//! Endpoints from any text (C34, C-05, C-07).

use etcd3_core::endpoint::Endpoint;

/// What can be read is kept as it was given, reads the same again, and names a server to dial.
pub fn endpoint_url(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let endpoint: Endpoint = match text.parse() {
        Ok(endpoint) => endpoint,
        Err(error) => {
            let shown = error.to_string();
            assert!(!shown.contains(char::is_control), "a log line could be forged: {shown:?}");
            return;
        }
    };
    let text = text.trim();
    assert_eq!((endpoint.as_str(), &*endpoint.to_string()), (text, text));
    let again: Endpoint = endpoint.as_str().parse().expect("it was read before");
    assert_eq!(again, endpoint);
    let authority = endpoint.authority();
    assert!(!authority.host().is_empty() && !authority.as_str().contains('@'), "{authority}");
    let whole = format!("{}://{authority}/etcdserverpb.KV/Range", endpoint.scheme());
    let uri: http::Uri = whole.parse().expect("a URI that can be requested");
    assert_eq!(uri.authority(), Some(&authority));
}

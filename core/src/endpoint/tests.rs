use super::*;

fn endpoint(text: &str) -> Endpoint {
    text.parse().unwrap_or_else(|e| panic!("{e}"))
}

fn parsed(text: &str) -> (Destination, String) {
    (endpoint(text).destination().clone(), endpoint(text).authority().to_string())
}

// C34a, C34b, C34c, C35
#[test]
fn hosts_and_ports() {
    for (text, host, port, authority) in [
        ("http://127.0.0.1:2379", "127.0.0.1", 2379, "127.0.0.1:2379"),
        ("http://etcd-0.etcd.svc:12379/", "etcd-0.etcd.svc", 12379, "etcd-0.etcd.svc:12379"),
        ("https://etcd.io", "etcd.io", 2379, "etcd.io:2379"),
        ("unix", "unix", 2379, "unix:2379"),
        ("HTTPS://etcd.io", "etcd.io", 2379, "etcd.io:2379"),
        ("localhost:1", "localhost", 1, "localhost:1"),
        ("etcd.example.", "etcd.example.", 2379, "etcd.example.:2379"),
        ("[::1]:2379", "::1", 2379, "[::1]:2379"),
        ("http://[fe80::1]", "fe80::1", 2379, "[fe80::1]:2379"),
        ("[::1]", "::1", 2379, "[::1]:2379"),
        // The zone is for the resolver; the server knows nothing of the client's interfaces.
        ("[fe80::1%eth0]:1", "fe80::1%eth0", 1, "[fe80::1]:1"),
        ("[fe80::1%25]", "fe80::1%25", 2379, "[fe80::1]:2379"),
        ("https://[fe80::1%25eth0]:1", "fe80::1%eth0", 1, "[fe80::1]:1"),
        ("http://[fe80::1%eth0.7]", "fe80::1%eth0.7", 2379, "[fe80::1]:2379"),
    ] {
        let destination = Destination::Host { host: host.to_owned(), port };
        assert_eq!(parsed(text), (destination, authority.to_owned()), "{text}");
    }
}

// C34d, C34e, C34f, CONN-055 to CONN-058
#[test]
fn unix_sockets() {
    for (text, path, authority) in [
        ("unix:a:1", "a:1", "a:1"),
        ("unix://a", "a", "a"),
        ("unix:localhost:2379", "localhost:2379", "localhost:2379"),
        ("unixs://localhost:2379", "localhost:2379", "localhost:2379"),
        ("unix:///run/etcd.sock", "/run/etcd.sock", "etcd.sock"),
        ("unixs:///run/[::1]:1", "/run/[::1]:1", "[::1]:1"),
        ("unix:/run/[::1%eth0]:1", "/run/[::1%eth0]:1", "localhost"),
        ("unix:/run/not a name", "/run/not a name", "localhost"),
        ("unix:/run/u@a", "/run/u@a", "localhost"),
        ("unix:/run/a:b", "/run/a:b", "localhost"),
        ("unix:/run/::1", "/run/::1", "localhost"),
        ("unix:/run/", "/run/", "localhost"),
        ("unix:/run/http://a", "/run/http://a", "a"),
    ] {
        assert_eq!(parsed(text), (Destination::Unix(path.into()), authority.to_owned()), "{text}");
    }
}

// As gRPC and Go write them: a name that is no path.
#[test]
fn abstract_unix_sockets() {
    for (text, name, authority) in [
        ("unix:@etcd", "etcd", "etcd"),
        ("unix://@etcd", "etcd", "etcd"),
        ("UNIX:@a/b.sock", "a/b.sock", "b.sock"),
        ("unixs:@localhost:2379", "localhost:2379", "localhost:2379"),
        ("unix-abstract:etcd", "etcd", "etcd"),
        ("unix-abstract:///run/etcd", "/run/etcd", "etcd"),
        ("unix-abstract:@etcd", "@etcd", "localhost"),
        ("unix:@not a name", "not a name", "localhost"),
    ] {
        let destination = Destination::UnixAbstract(name.to_owned());
        assert_eq!(parsed(text), (destination, authority.to_owned()), "{text}");
        assert!(endpoint(text).is_confidential(), "{text}");
    }
    assert!(endpoint("unix:@a").is_same(&endpoint("unix-abstract:a")));
    assert!(!endpoint("unix:@a").is_same(&endpoint("unix:a")));
    assert_eq!(endpoint("unixs:@a").security(), Security::Tls);
    assert_eq!(endpoint("unix-abstract:a").security(), Security::Unspecified);
    // A path is one, wherever the sign stands in it.
    assert_eq!(parsed("unix:/run/@etcd").0, Destination::Unix("/run/@etcd".into()));
    assert_eq!(parsed("unix:./@etcd").0, Destination::Unix("./@etcd".into()));
}

// From files and variables they come with what stood around them.
#[test]
fn white_space_around_is_no_part_of_an_endpoint() {
    for text in ["http://a:1", "a", "[::1]:1", "unix:/run/a b", "unix:@a b"] {
        for padded in [format!(" {text}"), format!("{text}\n"), format!("\t {text} \r\n")] {
            let padded = endpoint(&padded);
            assert_eq!(padded.as_str(), text);
            assert!(padded.is_same(&endpoint(text)), "{text}");
        }
    }
}

// Without brackets nobody can tell the port from the last group.
#[test]
fn an_ipv6_address_needs_brackets() {
    for address in ["::1", "::1:2379", "fe80::1", "fe80::1%eth0", "2001:db8::1:2379", "::"] {
        let full = "1:2:3:4:5:6:7:8";
        for text in [
            address.to_owned(),
            format!("http://{address}"),
            format!("https://{address}/"),
            format!("{full}:2379"),
            format!("http://{full}:2379"),
            format!("{address}:99999"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains("write an IPv6 address in brackets"), "{error}");
            assert!(error.contains("[::1]:2379"), "an example: {error}");
        }
        assert!(format!("[{address}]:1").parse::<Endpoint>().is_ok(), "{address}");
    }
}

// C34a to C34f, C36
#[test]
fn each_endpoint_says_for_itself_whether_it_speaks_tls() {
    for (text, without, with) in [
        ("http://a", false, false),
        ("https://a", true, true),
        ("a:1", false, true),
        ("unix:a", false, true),
        ("unix:///a", false, true),
        ("unixs:a", true, true),
        ("unixs:///a", true, true),
    ] {
        for (configured, expected) in [(false, without), (true, with)] {
            let decided = endpoint(text).secured_by_default(configured);
            let tls = decided.security() == Security::Tls;
            assert_eq!(tls, expected, "{text} configured: {configured}");
            assert_ne!(decided.security(), Security::Unspecified);
            assert_eq!(decided.scheme().as_str(), if expected { "https" } else { "http" });
            assert_eq!(decided.as_str(), text);
        }
    }
}

// C37, I-C8
#[test]
fn the_server_name_is_the_host_alone() {
    for (text, name) in [
        ("https://etcd-0.example.:2379", "etcd-0.example"),
        ("https://127.0.0.1", "127.0.0.1"),
        ("https://[::1]:2379", "::1"),
        ("https://[fe80::1%25eth0]:2379", "fe80::1"),
        ("unixs:localhost:2379", "localhost"),
        ("unixs:///run/not a name", "localhost"),
    ] {
        assert_eq!(endpoint(text).server_name(), name, "{text}");
    }
}

// I-A5: what must not be there may be a password all the same.
#[test]
fn an_error_does_not_tell_credentials() {
    for text in
        ["http://root:secret@a:1", "root:secret@a", "https://u:sec@ret@a:1/", "x://secret@a"]
    {
        let error = text.parse::<Endpoint>().unwrap_err();
        let texts = format!("{error} {error:?}");
        assert!(!texts.contains("secret") && !texts.contains("ret@"), "{texts}");
        assert!(texts.contains("@a"), "{texts}");
    }
}

#[test]
fn only_tls_and_the_machine_itself_are_confidential() {
    for text in [
        "https://a",
        "unix:a",
        "unixs:a",
        "http://127.9.9.9",
        "[::1]:1",
        "[::ffff:127.0.0.1]:1",
        "http://LocalHost.:1",
    ] {
        assert!(endpoint(text).is_confidential(), "{text}");
    }
    for text in ["http://a", "a:1", "http://10.0.0.1", "[::2]:1", "http://localhost.example"] {
        assert!(!endpoint(text).is_confidential(), "{text}");
        assert_eq!(endpoint(text).secured_by_default(true).is_confidential(), !text.contains("//"));
    }
}

// C39: what cannot work is refused early, with the endpoint and the reason in the text.
#[test]
fn what_cannot_work_is_refused() {
    for (text, reason) in [
        ("", "empty"),
        (" \n", "empty"),
        ("http://a:1,http://b:1", "comma"),
        ("a:1,b:1", "comma"),
        ("a, b", "comma"),
        ("https://[::1]:1,", "comma"),
        ("a,unix:/run/b", "comma"),
        ("unix:@", "name of the socket"),
        ("unix-abstract:", "name of the socket"),
        ("unix:@a\0b", "name of the socket"),
        ("http://", "neither a name"),
        ("https://", "neither a name"),
        ("ftp://a", "scheme"),
        ("a:0", "port"),
        ("a:65536", "port"),
        ("a:+1", "port"),
        ("a:", "port"),
        ("a:1:2", "port"),
        ("http://a:1/v3", "after the port"),
        ("https://a:1/v3", "after the port"),
        ("a:1/", "after the port"),
        ("http://u:p@a:1", "credentials"),
        ("[::1", "bracket"),
        ("[a]:1", "IPv6"),
        ("[::1]x", "bracket"),
        ("[fe80::1%]:1", "zone"),
        ("[fe80::1%a b]:1", "zone"),
        ("http://[fe80::1%25]:1", "zone"),
        ("a%eth0", "neither"),
        ("127.0.0.1%eth0", "neither"),
        ("a b", "neither"),
        ("a..b", "neither"),
        ("unix:", "path"),
        ("unixs://", "path"),
        ("a\n:1", "neither"),
    ] {
        let error = text.parse::<Endpoint>().unwrap_err().to_string();
        assert!(error.contains(reason), "{text:?}: {error}");
    }
}

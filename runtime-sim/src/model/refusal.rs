//! Refusals in etcd's words.

use etcd3::{Code, ServerError, Status};

/// Returns the status that a server answers with for a known error.
pub(crate) fn refuse(error: ServerError) -> Status {
    let code = match error {
        // The servers answer these two with objects of their client library (E4).
        ServerError::TooManyRequests | ServerError::MemberNotEnoughStarted => Code::Unknown,
        error => error.code(),
    };
    Status::new(code, error.text())
}

/// Returns the status for an error of a server that has no entry in etcd's table.
// E5
pub(crate) fn unknown(text: &str) -> Status {
    Status::new(Code::Unknown, text)
}

/// Returns what the model answers where the process of a real server ends; nothing is applied.
pub(crate) fn crash(cause: &str) -> Status {
    Status::new(Code::Internal, format!("model: this request ends the process of etcd: {cause}"))
}

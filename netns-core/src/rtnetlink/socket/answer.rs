//! What the kernel's answers mean: refusals, and answers that cannot be used, put into words.

use crate::error::{Cause, Description, Operation, SystemCall};
use crate::rtnetlink::describe::{attribute_name, attribute_path, describe};
use crate::wire::{
    Attributes, Message, Messages, NLMSGERR_ATTR_MISS_TYPE, NLMSGERR_ATTR_MSG, NLMSGERR_ATTR_OFFS,
};
use crate::{Error, Result};
use std::io;

/// The last request of a batch in words.
pub(super) fn in_words(requests: &[u8]) -> Description {
    match Messages::new(requests).last() {
        Some(message) => describe(&message),
        None => Description { operation: Operation::SendRequests, object: String::new() },
    }
}

/// An answer that cannot be used.
pub(super) fn reply_error(requests: &[u8], why: &'static str) -> Error {
    let words = in_words(requests);
    Error::new(words.operation, words.object, Cause::Reply(why.into()))
}

/// An answer that could not be received.
pub(super) fn receive_error(request: &[u8], error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::WouldBlock {
        return reply_error(request, "the kernel did not answer");
    }
    let words = in_words(request);
    Error::new(words.operation, words.object, Cause::System { call: SystemCall::Recvmsg, error })
}

/// A datagram that ends in the middle of a message is not to be trusted.
pub(super) fn check_complete(requests: &[u8], remaining: usize) -> Result<()> {
    if remaining == 0 { Ok(()) } else { Err(reply_error(requests, "its answer is malformed")) }
}

/// The kernel's refusal of the request that `answer` belongs to.
pub(super) fn refusal(requests: &[u8], answer: &Message<'_>, errno: i32) -> Error {
    let sequence = answer.header.sequence;
    let Some(request) = Messages::new(requests).find(|request| request.header.sequence == sequence) else {
        return reply_error(requests, "the kernel refused a request that was not made");
    };
    let (_, details) = answer.error().unwrap_or((errno, Attributes::new(&[])));
    let at = details.find(NLMSGERR_ATTR_OFFS).and_then(|offset| offset.value::<u32>());
    let missing = details.find(NLMSGERR_ATTR_MISS_TYPE).and_then(|kind| kind.value::<u32>());
    let attribute = at
        .and_then(|offset| attribute_path(&request, offset as usize))
        .or_else(|| missing.map(|kind| format!("missing {}", attribute_name(&request, kind as u16))));
    let words = describe(&request);
    let message = details.find(NLMSGERR_ATTR_MSG).and_then(|text| text.text());
    let message = message.filter(|text| !text.is_empty()).map(str::to_owned);
    Error::new(words.operation, words.object, Cause::Refused { errno, message, attribute })
}

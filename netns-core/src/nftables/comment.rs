//! Comments: text beside a rule or an element, which the kernel keeps and `nft` shows.

/// `NFTNL_UDATA_RULE_COMMENT` and `NFTNL_UDATA_SET_ELEM_COMMENT`, which are the same, of [libnftnl's udata.h].
///
/// [libnftnl's udata.h]: https://git.netfilter.org/libnftnl/tree/include/libnftnl/udata.h?h=libnftnl-1.2.4
const COMMENT: u8 = 0;
/// How many bytes a comment can have: `nft` takes no longer ones.
pub const MAX: usize = 127;

/// A comment as user data: a type, a length, and text that ends with NUL. What is above [`MAX`] bytes is cut off.
pub(super) fn encode(text: &str) -> Vec<u8> {
    let end = (0..=text.len().min(MAX)).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    let mut bytes = vec![COMMENT, end as u8 + 1];
    bytes.extend_from_slice(&text.as_bytes()[..end]);
    bytes.push(0);
    bytes
}

/// The comment among user data.
pub(super) fn decode(mut bytes: &[u8]) -> Option<String> {
    while let [kind, length, rest @ ..] = bytes {
        let (value, rest) = rest.split_at_checked(usize::from(*length))?;
        if *kind == COMMENT {
            let text = value.split(|&byte| byte == 0).next()?;
            return String::from_utf8(text.to_vec()).ok();
        }
        bytes = rest;
    }
    None
}

//! Reports to systemd that a service (`Type=notify`) is ready, so that units ordered after it start then.

use crate::messages::say;
use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The variable that names the socket: <https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html>
const SOCKET: &str = "NOTIFY_SOCKET";

/// Reports readiness. Outside a service there is nobody to report to.
pub(crate) fn ready() {
    let Some(socket) = env::var_os(SOCKET) else { return };
    if let Err(error) = send(&socket, b"READY=1\n") {
        // The service goes on; systemd reports that the notice did not come.
        say(format_args!("warning: report to {SOCKET} {}: {error}", socket.display()));
    }
}

fn send(socket: &OsStr, message: &[u8]) -> io::Result<()> {
    let address = match socket.as_bytes() {
        // In the abstract namespace, which has no files.
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
    };
    UnixDatagram::unbound()?.send_to_addr(message, &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::send;
    use std::ffi::OsStr;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use std::process;

    #[test]
    fn it_is_received_by_path_and_by_abstract_name() {
        let name = format!("netns-notify-{}", process::id());
        let path = std::env::temp_dir().join(&name);
        let by_path = UnixDatagram::bind(&path).unwrap();
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        send(path.as_os_str(), b"READY=1\n").unwrap();
        send(OsStr::new(&format!("@{name}")), b"READY=1\n").unwrap();
        std::fs::remove_file(&path).unwrap();
        for socket in [by_path, by_name] {
            let mut text = [0; 16];
            let length = socket.recv(&mut text).unwrap();
            assert_eq!(&text[..length], b"READY=1\n");
        }
        assert!(send(path.as_os_str(), b"").is_err());
    }
}

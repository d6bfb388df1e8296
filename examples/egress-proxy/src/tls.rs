//! Connections of TLS, which say what name they are for before anything is encrypted.

use crate::names::Names;
use nix::sys::socket::{getsockopt, sockopt};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tls_parser::{TlsExtension, TlsMessage, TlsMessageHandshake};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);
/// What the first record of a connection is.
const HANDSHAKE: u8 = 22;
/// The longest record, with its header.
const RECORD: usize = 5 + (1 << 14);

/// Passes on connections for allowed names.
pub async fn serve(listener: TcpListener, names: Arc<Names>) {
    loop {
        let Ok((client, peer)) = listener.accept().await else { continue };
        let names = names.clone();
        tokio::spawn(async move {
            if let Err(error) = pass_on(client, &names).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

async fn pass_on(mut client: TcpStream, names: &Names) -> io::Result<()> {
    let to = original_destination(&client)?;
    // Of a sandbox that connects to the proxy itself.
    if to == client.local_addr()? {
        return Err(io::Error::other("it was for the proxy"));
    }
    let mut first = Vec::new();
    let name = timeout(PATIENCE, async {
        loop {
            if client.read_buf(&mut first).await? == 0 || first.len() > RECORD || first[0] != HANDSHAKE {
                return Err(io::Error::other("no name"));
            }
            match tls_parser::parse_tls_plaintext(&first) {
                Ok((_, record)) => return Ok(server_name(&record.msg).unwrap_or_default()),
                Err(tls_parser::nom::Err::Incomplete(_)) => {}
                Err(_) => return Err(io::Error::other("no TLS")),
            }
        }
    })
    .await??;
    if !names.allows(&name) {
        return Err(io::Error::other(format!("{name} is not allowed")));
    }
    // What it sent had passed its policy: the address is one of an allowed name.
    let mut server = timeout(PATIENCE, TcpStream::connect(to)).await??;
    server.write_all(&first).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

fn server_name(messages: &[TlsMessage<'_>]) -> Option<String> {
    let [TlsMessage::Handshake(TlsMessageHandshake::ClientHello(hello)), ..] = messages else { return None };
    let (_, extensions) = tls_parser::parse_tls_client_hello_extensions(hello.ext?).ok()?;
    let first = extensions.iter().find_map(|extension| match extension {
        TlsExtension::SNI(names) => names.first(),
        _ => None,
    });
    String::from_utf8(first?.1.to_vec()).ok()
}

/// Where the sandbox connected to, before it was redirected.
fn original_destination(client: &TcpStream) -> io::Result<SocketAddr> {
    if client.local_addr()?.is_ipv4() {
        let found = getsockopt(client, sockopt::OriginalDst)?;
        let address = Ipv4Addr::from_bits(u32::from_be(found.sin_addr.s_addr));
        return Ok((address, u16::from_be(found.sin_port)).into());
    }
    let found = getsockopt(client, sockopt::Ip6tOriginalDst)?;
    Ok((Ipv6Addr::from(found.sin6_addr.s6_addr), u16::from_be(found.sin6_port)).into())
}

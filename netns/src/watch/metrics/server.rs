//! As much of an HTTP server as Prometheus needs. It answers `GET /metrics`, once per connection, and has no patience:
//! it hangs up on a client that is slow, sends much, or is one too many.

use prometheus::{Registry, TEXT_FORMAT, TextEncoder};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long it may take to send and answer a request.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a request may be; Prometheus' own has some 300 bytes.
const LONGEST: usize = 8 * 1024;
const HEADERS: usize = 64;
/// How many clients are served at once.
const CROWD: usize = 16;
/// How long the end may take to be noticed.
const TICK: Duration = Duration::from_millis(50);

/// The thread that listens, until this is dropped.
#[derive(Debug)]
pub(super) struct Server {
    stop: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
    /// Where it listens; of port 0, the one that the kernel chose.
    pub(super) address: SocketAddr,
}

impl Server {
    pub(super) fn start(address: SocketAddr, registry: Registry) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("metrics".to_owned());
        let listener = thread.spawn(move || listen(&listener, &registry, &stopped))?;
        Ok(Self { stop, listener: Some(listener), address })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A panic has been reported by its thread.
        let _ = self.listener.take().map(JoinHandle::join);
    }
}

fn listen(listener: &TcpListener, registry: &Registry, stop: &AtomicBool) {
    let busy = Arc::new(AtomicUsize::new(0));
    while !stop.load(Ordering::Relaxed) {
        let Ok((stream, _)) = listener.accept() else {
            // Nobody there, or no descriptors left: later.
            thread::sleep(TICK);
            continue;
        };
        let place = Connection::take(&busy);
        if place.number >= CROWD {
            continue;
        }
        let registry = registry.clone();
        // Without a thread the connection is closed, as in a crowd.
        let _ = thread::Builder::new().name("metrics client".to_owned()).spawn(move || {
            let _place = place;
            // A client's errors are its own.
            let _ = serve(stream, &registry);
        });
    }
}

/// One of the clients that are served.
struct Connection {
    busy: Arc<AtomicUsize>,
    number: usize,
}

impl Connection {
    fn take(busy: &Arc<AtomicUsize>) -> Self {
        Self { busy: Arc::clone(busy), number: busy.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

fn serve(mut stream: TcpStream, registry: &Registry) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let (mut allow, mut has_body) = ("", true);
    let request = read_request(&mut stream, deadline)?;
    let (status, kind, body) = match request {
        Request::Get { path, is_head } if path == "/metrics" => {
            has_body = !is_head;
            match TextEncoder::new().encode_to_string(&registry.gather()) {
                Ok(text) => ("200 OK", TEXT_FORMAT, text),
                Err(error) => ("500 Internal Server Error", "text/plain", format!("{error}\n")),
            }
        }
        Request::Get { is_head, .. } => {
            has_body = !is_head;
            ("404 Not Found", "text/plain", "there is /metrics\n".to_owned())
        }
        Request::Other => {
            allow = "Allow: GET, HEAD\r\n";
            ("405 Method Not Allowed", "text/plain", "GET /metrics\n".to_owned())
        }
        Request::Bad => ("400 Bad Request", "text/plain", "GET /metrics\n".to_owned()),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\n{allow}Content-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    write_all(&mut stream, head.as_bytes(), deadline)?;
    if has_body { write_all(&mut stream, body.as_bytes(), deadline) } else { Ok(()) }
}

enum Request {
    Get { path: String, is_head: bool },
    Other,
    Bad,
}

/// Reads the head of a request. No valid request has a body.
fn read_request(stream: &mut TcpStream, deadline: Instant) -> io::Result<Request> {
    let mut bytes = Vec::new();
    let mut part = [0; 1024];
    loop {
        stream.set_read_timeout(Some(left(deadline)?))?;
        let length = stream.read(&mut part)?;
        bytes.extend_from_slice(&part[..length]);
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&bytes) {
            Ok(httparse::Status::Complete(_)) => {
                let path = request.path.and_then(|path| path.split('?').next()).unwrap_or_default();
                return Ok(match request.method {
                    Some(method @ ("GET" | "HEAD")) => {
                        Request::Get { path: path.to_owned(), is_head: method == "HEAD" }
                    }
                    _ => Request::Other,
                });
            }
            Ok(httparse::Status::Partial) if length > 0 && bytes.len() < LONGEST => {}
            _ => return Ok(Request::Bad),
        }
    }
}

/// A client that sends a byte at a time gets no further than the deadline.
fn write_all(stream: &mut TcpStream, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(left(deadline)?))?;
        match stream.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(length) => bytes = &bytes[length..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

//! HTTP/1.1 by hand: whatever bytes a test wants to send, and answers as they arrive.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::documented;

/// No answer in these tests takes longer; a read that does fails its test.
const READ_SECONDS_MAX: u64 = 30;

/// A request, in which everything can be changed before it is sent.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn new(method: &str, path: &str) -> Self {
        Self { method: method.into(), path: path.into(), headers: Vec::new(), body: Vec::new() }
    }

    /// Sets a header, in the place of those with the same name.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self = self.without(name);
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(header, _)| !header.eq_ignore_ascii_case(name));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    fn bytes(&self, address: SocketAddr) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        let set = |name: &str| self.headers.iter().any(|(header, _)| header.eq_ignore_ascii_case(name));
        if !set("host") {
            head += &format!("Host: {address}\r\n");
        }
        if !set("content-length") && !set("transfer-encoding") {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "Connection: close\r\n\r\n";
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Sends the request on a connection of its own and reads the whole answer, which must be as the
    /// reference says where it is from the administrators' door.
    #[track_caller]
    pub fn send(&self, address: SocketAddr) -> Response {
        let response = self.open(address).read();
        documented::check(self, &response);
        response
    }

    /// Sends the request and reads the head of the answer.
    pub fn open(&self, address: SocketAddr) -> Stream {
        self.start(address).answer()
    }

    /// Sends the request and reads nothing.
    pub fn start(&self, address: SocketAddr) -> Sent {
        self.try_start(address).expect("the server accepts connections")
    }

    pub fn try_start(&self, address: SocketAddr) -> std::io::Result<Sent> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(READ_SECONDS_MAX)))?;
        // A server may answer and close before it has read everything.
        let _ = stream.write_all(&self.bytes(address));
        Ok(Sent(stream))
    }

    /// As [`Self::send`], but a connection that breaks is an answer, too.
    pub fn try_send(&self, address: SocketAddr) -> std::io::Result<Response> {
        self.try_start(address)?.try_answer()?.try_read()
    }
}

/// A request on its way; dropping it closes the connection.
pub struct Sent(TcpStream);

impl Sent {
    /// The head of the answer.
    pub fn answer(self) -> Stream {
        self.try_answer().expect("the server answers")
    }

    pub fn try_answer(self) -> std::io::Result<Stream> {
        Stream::new(self.0)
    }
}

/// An answer whose body is still arriving; dropping it closes the connection.
pub struct Stream {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    reader: BufReader<TcpStream>,
    body: Framing,
}

enum Framing {
    Length(usize),
    /// How much of the present chunk is left; none once the last one was read.
    Chunked(Option<usize>),
    UntilClosed,
}

fn broken(what: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned())
}

fn line(reader: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(line)
}

impl Stream {
    fn new(stream: TcpStream) -> std::io::Result<Self> {
        let mut reader = BufReader::new(stream);
        let first = line(&mut reader)?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| broken("no status line"))?;
        let mut headers = Vec::new();
        loop {
            let line = line(&mut reader)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| broken("a header without a colon"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let find = |name: &str| headers.iter().find(|(header, _)| header == name).map(|(_, value)| value);
        let body = if find("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
            Framing::Chunked(Some(0))
        } else if status == 204 || status == 304 {
            Framing::Length(0)
        } else {
            let length = find("content-length").and_then(|value| value.parse().ok());
            length.map_or(Framing::UntilClosed, Framing::Length)
        };
        Ok(Self { status, headers, reader, body })
    }

    /// The rest of the body.
    pub fn read(self) -> Response {
        self.try_read().expect("the answer is complete")
    }

    pub fn try_read(mut self) -> std::io::Result<Response> {
        let mut body = Vec::new();
        self.read_to_end(&mut body)?;
        Ok(Response { status: self.status, headers: self.headers, body })
    }

    /// The data of the next server-sent event; none once the stream has ended. Comments, which
    /// keep a connection alive, are passed over.
    pub fn event(&mut self) -> Option<String> {
        let mut data: Option<String> = None;
        let mut text = Vec::new();
        let mut byte = [0];
        while self.read(&mut byte).expect("the stream stays intact") == 1 {
            if byte[0] != b'\n' {
                text.push(byte[0]);
                continue;
            }
            let line = String::from_utf8(std::mem::take(&mut text)).expect("events are UTF-8");
            let line = line.trim_end_matches('\r');
            if let Some(more) = line.strip_prefix("data:") {
                let more = more.strip_prefix(' ').unwrap_or(more);
                data = Some(data.map_or_else(|| more.to_owned(), |data| format!("{data}\n{more}")));
            } else if line.is_empty() && data.as_ref().is_some_and(|data| !data.is_empty()) {
                return data;
            }
        }
        None
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match &mut self.body {
            Framing::UntilClosed => self.reader.read(buffer),
            Framing::Length(0) | Framing::Chunked(None) => Ok(0),
            Framing::Length(left) => {
                let most = buffer.len().min(*left);
                let read = self.reader.read(&mut buffer[..most])?;
                *left -= read;
                if read == 0 && most > 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                Ok(read)
            }
            Framing::Chunked(Some(left)) => {
                if *left == 0 {
                    let size = line(&mut self.reader)?;
                    let size = usize::from_str_radix(&size, 16).map_err(|_| broken("a chunk size"))?;
                    if size == 0 {
                        line(&mut self.reader)?;
                        self.body = Framing::Chunked(None);
                        return Ok(0);
                    }
                    *left = size;
                }
                let most = buffer.len().min(*left);
                let read = self.reader.read(&mut buffer[..most])?;
                if read == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                *left -= read;
                if *left == 0 {
                    line(&mut self.reader)?;
                }
                Ok(read)
            }
        }
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|err| panic!("{err} in an answer with status {}: {}", self.status, self.text()))
    }

    /// The body as JSON, of an answer that must have this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// The body as JSON, of an answer that must be a success.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, self.text());
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// The problem document of a refusal, which must be whole and have this status.
    #[track_caller]
    pub fn problem(&self, status: u16) -> Value {
        let problem = self.expect(status);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        for member in ["type", "title", "detail", "code"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {problem}");
        }
        assert_eq!(problem["status"], status);
        problem
    }
}

//! The content coding `aws-chunked`, in which SDKs send a body with its checksum.
//!
//! `size[;chunk-signature=..] CRLF data CRLF .. 0[;..] CRLF trailers CRLF` (*Signature calculations for the
//! Authorization header: transferring payload in multiple chunks*, Amazon S3 API Reference). `s3s` decodes it
//! where it knows the secret of the credentials. This decoder is for all other credentials, whose signatures are not verified.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use futures::Stream;
use http::{HeaderName, HeaderValue};

use super::checksums::Trailers;

/// The longest line between two chunks: a size and a signature, or one trailer.
const MAX_LINE: usize = 4096;

/// The bytes inside an `aws-chunked` body.
pub(crate) struct AwsChunked<S> {
    body: S,
    buffer: BytesMut,
    state: State,
    trailers: Trailers,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Before a line with the size of the next chunk.
    Size,
    /// Inside a chunk, with this number of bytes left.
    Data(usize),
    /// Before the line end after a chunk.
    DataEnd,
    /// After the last chunk: trailers up to the end.
    Trailers,
}

impl<S> AwsChunked<S> {
    /// `trailers` has the trailers once the body was read.
    pub(super) fn new(body: S, trailers: Trailers) -> Self {
        Self { body, buffer: BytesMut::new(), state: State::Size, trailers }
    }

    /// The next bytes of the buffer. `None` if the body has to deliver more first.
    fn decode(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            match self.state {
                State::Size => {
                    let Some(line) = self.line()? else { return Ok(None) };
                    let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
                    let size =
                        std::str::from_utf8(digits).ok().and_then(|text| usize::from_str_radix(text.trim(), 16).ok());
                    self.state = match size {
                        Some(0) => State::Trailers,
                        Some(size) => State::Data(size),
                        None => return Err(malformed("a chunk does not begin with its size in hex digits")),
                    };
                }
                State::Data(left) => {
                    if self.buffer.is_empty() {
                        return Ok(None);
                    }
                    let data = self.buffer.split_to(left.min(self.buffer.len())).freeze();
                    self.state = if data.len() == left { State::DataEnd } else { State::Data(left - data.len()) };
                    return Ok(Some(data));
                }
                State::DataEnd => {
                    let Some(line) = self.line()? else { return Ok(None) };
                    if !line.is_empty() {
                        return Err(malformed("a chunk is longer than its size"));
                    }
                    self.state = State::Size;
                }
                State::Trailers => {
                    let Some(line) = self.line()? else { return Ok(None) };
                    let colon = line.iter().position(|&byte| byte == b':');
                    if let Some((name, value)) = colon.map(|at| (&line[..at], &line[at + 1..]))
                        && let Ok(name) = HeaderName::from_bytes(name)
                        && let Ok(value) = HeaderValue::from_bytes(value.trim_ascii())
                    {
                        self.trailers.insert(name, value);
                    }
                }
            }
        }
    }

    /// The next line of the buffer, without its line end.
    fn line(&mut self) -> io::Result<Option<Bytes>> {
        let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') else {
            return if self.buffer.len() > MAX_LINE { Err(malformed("a line never ends")) } else { Ok(None) };
        };
        let mut line = self.buffer.split_to(end).freeze();
        self.buffer.advance(1);
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        Ok(Some(line))
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the aws-chunked body is malformed: {what}"))
}

impl<S, E> Stream for AwsChunked<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            if let Some(item) = self.decode().transpose() {
                return Poll::Ready(Some(item));
            }
            match Pin::new(&mut self.body).poll_next(context) {
                Poll::Ready(Some(Ok(chunk))) => self.buffer.extend_from_slice(&chunk),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(io::Error::other(error)))),
                Poll::Ready(None) if self.state == State::Trailers => return Poll::Ready(None),
                Poll::Ready(None) => return Poll::Ready(Some(Err(malformed("it breaks off")))),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, TryStreamExt, stream};

    use super::*;

    async fn decode(text: &'static [u8], step: usize) -> io::Result<Vec<u8>> {
        let body = stream::iter(text.chunks(step).map(|chunk| Ok::<_, io::Error>(Bytes::from_static(chunk))));
        AwsChunked::new(body, Trailers::default())
            .try_fold(Vec::new(), async |mut all, chunk| {
                all.extend_from_slice(&chunk);
                Ok(all)
            })
            .await
    }

    #[tokio::test]
    async fn a_body_decodes_the_same_in_pieces_of_any_size() {
        let text = b"5;chunk-signature=abc\r\nhello\r\n6\r\n world\r\n0;chunk-signature=def\r\nx-amz-checksum-crc32:AAAA\r\n\r\n";
        for step in 1..=text.len() {
            assert_eq!(decode(text, step).await.unwrap(), b"hello world", "{step} bytes at a time");
        }
        assert_eq!(decode(b"0\r\n\r\n", 2).await.unwrap(), b"");
    }

    #[tokio::test]
    async fn trailers_are_known_after_the_body() {
        let trailers = Trailers::default();
        let text = b"2\r\nhi\r\n0\r\nx-amz-checksum-crc32: AAAA \r\nx-amz-trailer-signature:abc\r\n\r\n";
        let body = stream::iter(text.chunks(3).map(|chunk| Ok::<_, io::Error>(Bytes::from_static(chunk))));
        let chunks: Vec<_> = AwsChunked::new(body, trailers.clone()).try_collect().await.unwrap();
        assert_eq!(chunks.concat(), b"hi");
        assert_eq!(trailers.get("x-amz-checksum-crc32").as_deref(), Some("AAAA"));
    }

    #[tokio::test]
    async fn malformed_bodies_are_errors() {
        for text in
            [&b""[..], b"5\r\nhel", b"5\r\nhello", b"5\r\nhello!\r\n0\r\n\r\n", b"zz\r\n", b"-1\r\n", &[b'1'; 5000]]
        {
            assert!(decode(text, 7).await.is_err(), "{:?}", String::from_utf8_lossy(text));
        }
        let mut failed =
            AwsChunked::new(stream::iter([Err::<Bytes, _>(io::Error::other("reset"))]), Trailers::default());
        assert!(failed.next().await.unwrap().is_err());
    }
}

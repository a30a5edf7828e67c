//! How does a test keep a run from ending until it has looked at it? By a host that answers when it is told to.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

/// A host whose page is answered when the gate opens, and whose robots file at once.
pub(crate) struct Gate {
    address: SocketAddr,
    opens: Sender<()>,
}

impl Gate {
    pub(crate) fn shut() -> Gate {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (opens, opened) = channel();
        // It ends with the test's process, if not before.
        std::thread::spawn(move || serve(&listener, &opened));
        Gate { address, opens }
    }

    /// The page. A job must be patient with it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/gate", self.address)
    }

    /// Has the page answered.
    pub(crate) fn open(self) {
        self.opens.send(()).unwrap();
    }
}

fn serve(listener: &TcpListener, opened: &Receiver<()>) {
    for mut stream in listener.incoming().flatten() {
        let Some(asked) = head(&mut stream) else {
            continue;
        };
        let status = match asked.starts_with("GET /robots.txt") {
            true => "404 Not Found",
            false => {
                // That nobody can open it any more is as good.
                let _ = opened.recv();
                "200 OK"
            }
        };
        let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        // Who was killed meanwhile needs no answer.
        let _ = stream.write_all(answer.as_bytes());
    }
}

/// The head of a request; `None` if the client is gone before.
fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        let read = stream.read(&mut part).ok().filter(|read| *read > 0)?;
        head.extend(&part[..read]);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

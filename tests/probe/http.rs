//! What is particular to HTTP.

use std::io::{Read, Write};
use std::net::SocketAddr;

use crate::fake::{Script, fails, hear, probe, serve};

fn page(answer: &'static [u8]) -> SocketAddr {
    Script::new(b"", &[(b"\r\n\r\n", answer)]).serve()
}

#[test]
fn which_status_is_well() {
    for (status, is_alive) in [
        (200, true),
        (204, true),
        (301, true),
        (401, true),
        (403, true),
        (404, false),
        (429, false),
        (500, false),
    ] {
        let answer = format!("HTTP/1.1 {status} x\r\n\r\n");
        let server = Script::new(b"", &[(b"\r\n\r\n", answer.as_bytes())]).serve();
        assert_eq!(probe(&format!("http://{server}")).is_ok(), is_alive, "{status}");
        assert!(probe(&format!("http://{server}#status={status}")).is_ok());
        assert!(probe(&format!("http://{server}#status=100-199,{status}")).is_ok());
        let failure = fails(&format!("http://{server}#status=226"));
        assert!(failure.why.ends_with("and not 226"), "{failure}");
    }
}

#[test]
fn an_interim_response_is_not_the_answer() {
    let server = page(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 500 no\r\n\r\n");
    assert!(fails(&format!("http://{server}")).why.contains("500 no"));
}

#[test]
fn a_page_is_searched_however_it_is_sent() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n<html>all well</html>"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9;x=y\r\n<html>all\r\n5\r\n well\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n<html>all well</html>",
    ] {
        let server = serve(move |mut stream| {
            hear(&mut stream, b"\r\n\r\n");
            let _ = stream.write_all(answer);
        });
        for pattern in ["(?i)%3cHTML%3e", "all%20well", "w.l+"] {
            probe(&format!("http://{server}#match={pattern}")).unwrap();
        }
        let failure = fails(&format!("http://{server}#match=broken"));
        assert!(failure.why.starts_with("\"broken\" is not in the page, which is \"<html>"), "{failure}");
    }
}

/// The page is not looked at where nobody looks for something in it.
#[test]
fn a_page_that_never_ends() {
    let server = serve(|mut stream| {
        hear(&mut stream, b"\r\n\r\n");
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nbeginning ");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    probe(&format!("http://{server}")).unwrap();
    probe(&format!("http://{server}#match=^beginning")).unwrap();
    let failure = fails(&format!("http://{server}#match=end$"));
    assert!(failure.why.contains("\"end$\" is not in the page"), "{failure}");
    // One whose middle does not come.
    let server = page(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    assert!(fails(&format!("http://{server}#match=half")).why.contains("did not end within"));
}

#[test]
fn a_redirection_is_followed_as_far_as_it_may_be() {
    let server = serve(|mut stream| {
        let mut heard = [0; 2048];
        let length = stream.read(&mut heard).unwrap();
        let heard = String::from_utf8_lossy(&heard[..length]).into_owned();
        let answer = match heard.split(' ').nth(1).unwrap() {
            "/1" => "HTTP/1.1 302 Found\r\nLocation: 2\r\n\r\nmoved",
            "/2" => "HTTP/1.1 308 Permanent\r\nlocation: http://www.invalid/3\r\n\r\n",
            "/3" => "HTTP/1.1 200 OK\r\n\r\n<html>here</html>",
            "/odd" => "HTTP/1.1 301 Odd\r\nLocation: exec:///bin/true\r\n\r\n",
            _ => "HTTP/1.1 302 Found\r\nLocation: /round\r\n\r\n",
        };
        let _ = stream.write_all(answer.as_bytes());
    });
    let said = |rest: &str| probe(&format!("http://{server}{rest}")).unwrap().said;
    assert_eq!(said("/1"), "HTTP/1.1 302 Found");
    assert_eq!(said("/1#follow=1&host=www.invalid"), "HTTP/1.1 308 Permanent");
    assert_eq!(said("/1#follow=2&host=www.invalid&match=here"), "HTTP/1.1 200 OK");
    assert_eq!(said("/round#follow=10"), "HTTP/1.1 302 Found");
    assert!(
        fails(&format!("http://{server}/odd#follow=1")).why.contains("redirects to what \"exec:")
    );
    // Elsewhere nobody is.
    assert!(fails(&format!("http://{server}/2#follow=1")).phase <= ocfbox::probe::Phase::Connect);
}

/// The words that the server gets.
#[test]
fn what_the_server_hears() {
    let (tell, told) = std::sync::mpsc::channel();
    let server = serve(move |mut stream| {
        let mut heard = [0; 2048];
        let length = stream.read(&mut heard).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        tell.send(String::from_utf8_lossy(&heard[..length]).into_owned()).unwrap();
    });
    probe(&format!(
        "http://{server}/server-status?auto#host=www.example.org&timeout=5s&bind=127.0.0.1"
    ))
    .unwrap();
    let heard = told.recv().unwrap();
    assert!(
        heard.starts_with("GET /server-status?auto HTTP/1.1\r\nHost: www.example.org\r\n"),
        "{heard}"
    );
    assert!(!heard.contains("timeout") && !heard.contains('#'), "{heard}");
}

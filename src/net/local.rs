//! GET over a unix socket of this machine: as bounded as over the network, and nowhere else, whatever the address says.

use std::path::Path;
use std::sync::Arc;

use reqwest::redirect::Policy;
use reqwest::retry;
use rustls::{ClientConfig, RootCertStore};

use super::Outbound;
use crate::error::{Code, Failure};

impl Outbound {
    /// A client for whoever listens at `socket`, over HTTP without TLS; the kernel says who that is.
    ///
    /// # Errors
    /// [`Code::Config`] when there can be no client.
    pub fn over(socket: &Path) -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(Code::Config, "a local client cannot be set up").because(error.to_string())
        };
        // Never used; but without one the client would look for what the process has installed.
        let nobody = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        #[expect(clippy::disallowed_methods, reason = "this module is where outbound connections are made")]
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(nobody)
            .unix_socket(socket)
            .no_proxy()
            .redirect(Policy::none())
            .retry(retry::never())
            .referer(false)
            .http1_only()
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| failed(&error))?;
        Ok(Self { client })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;

    use super::*;

    /// For what comes at once, however busy the machine is.
    const LIMIT: Duration = Duration::from_secs(30);

    /// Answers each connection with `answer`; an empty one is silence.
    fn serve(path: &Path, answer: &'static str) {
        let listener = UnixListener::bind(path).unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 2048];
                let count = stream.read(&mut request).await.unwrap();
                assert!(request[..count].starts_with(b"GET /v1/list?a=b HTTP/1.1\r\n"));
                if answer.is_empty() {
                    std::future::pending::<()>().await;
                }
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
    }

    async fn ask(path: &Path, cap: usize) -> Result<Vec<u8>, Failure> {
        ask_within(LIMIT, path, cap).await
    }

    async fn ask_within(limit: Duration, path: &Path, cap: usize) -> Result<Vec<u8>, Failure> {
        Outbound::over(path)?.get("http://example.com/v1/list?a=b", limit, cap).await
    }

    #[tokio::test]
    async fn the_address_leads_to_the_socket_and_what_is_too_much_too_late_or_no_answer_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let good = folder.path().join("good");
        serve(&good, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
        assert_eq!(ask(&good, 5).await.unwrap(), b"hello");
        assert_eq!(ask(&good, 4).await.unwrap_err().code(), Code::Upstream);
        let bad = [
            "",
            "no HTTP\r\n\r\n",
            "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 301 Moved\r\nlocation: http://example.com/\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel",
        ];
        for (number, answer) in bad.into_iter().enumerate() {
            let path = folder.path().join(number.to_string());
            serve(&path, answer);
            let limit = if answer.is_empty() { Duration::from_millis(500) } else { LIMIT };
            assert_eq!(ask_within(limit, &path, 64).await.unwrap_err().code(), Code::Upstream, "{answer}");
        }
        assert_eq!(ask(&folder.path().join("nobody"), 64).await.unwrap_err().code(), Code::Upstream);
        std::fs::write(folder.path().join("file"), "no socket").unwrap();
        assert_eq!(ask(&folder.path().join("file"), 64).await.unwrap_err().code(), Code::Upstream);
    }
}

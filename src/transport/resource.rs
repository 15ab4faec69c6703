//! Under which names callers reach the door, and what it tells them to ask tokens for; said once for those who serve it and
//! for those who check it.

use std::net::SocketAddr;

use super::HttpSection;

impl HttpSection {
    /// The names in `Host`: as configured, else the bind address, and localhost when that is loopback.
    #[must_use]
    pub fn hosts(&self, bind: SocketAddr) -> Vec<String> {
        if !self.allowed_hosts.is_empty() {
            return self.allowed_hosts.clone();
        }
        let address = bind.ip();
        let literal = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
        if address.is_loopback() { vec!["localhost".to_owned(), literal] } else { vec![literal] }
    }

    /// The URL of the endpoint as callers are told it: `public_url`, else under the first name of [`HttpSection::hosts`].
    #[must_use]
    pub fn resource(&self, bind: SocketAddr) -> String {
        self.public_url.clone().unwrap_or_else(|| endpoint(&self.hosts(bind), bind.port()))
    }

    /// The authorization servers that callers are told of: as configured, else the issuer if it is a URL.
    #[must_use]
    pub fn authorization_servers(&self, issuer: Option<&str>) -> Vec<String> {
        if !self.authorization_servers.is_empty() {
            return self.authorization_servers.clone();
        }
        issuer.filter(|issuer| issuer.starts_with("https://")).map(str::to_owned).into_iter().collect()
    }
}

/// The endpoint under the first name; a port in that name is the one that callers use.
fn endpoint(hosts: &[String], port: u16) -> String {
    let host = hosts.first().map_or("localhost", String::as_str);
    let named = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) && !host.ends_with(']');
    if named { format!("https://{host}/mcp") } else { format!("https://{host}:{port}/mcp") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_has_one_port() {
        for (host, url) in [
            ("door.example", "https://door.example:8443/mcp"),
            ("door.example:443", "https://door.example:443/mcp"),
            ("[::1]", "https://[::1]:8443/mcp"),
            ("[::1]:1", "https://[::1]:1/mcp"),
        ] {
            assert_eq!(endpoint(&[host.to_owned()], 8443), url);
        }
        assert_eq!(endpoint(&[], 1), "https://localhost:1/mcp");
    }
}

//! Debian's nginx as a server with TLS and HTTP/2: one process, a certificate of its own, a fixed answer.

use std::net::{Ipv4Addr, TcpListener, TcpStream};

use tempfile::TempDir;
use tokio::process::Child;

use super::site::{has, on_core};

/// A running nginx. Dropping it ends it.
pub(crate) struct Nginx {
    port: u16,
    _child: Child,
    _directory: TempDir,
}

impl Nginx {
    /// Starts one on the first core.
    pub(crate) async fn start(body: usize) -> Result<Self, String> {
        let program = ["nginx", "/usr/sbin/nginx"]
            .into_iter()
            .find(|at| has(at) || std::path::Path::new(at).is_file());
        let program = program.ok_or("nginx is not installed (Debian: nginx-light)")?;
        let directory = TempDir::new().map_err(|e| e.to_string())?;
        let at = |name: &str| directory.path().join(name);
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])
            .map_err(|e| e.to_string())?;
        let write =
            |name: &str, text: String| std::fs::write(at(name), text).map_err(|e| e.to_string());
        write("cert.pem", made.cert.pem())?;
        write("key.pem", made.signing_key.serialize_pem())?;
        let port = free_port().map_err(|e| e.to_string())?;
        write("nginx.conf", configuration(&directory.path().display().to_string(), port, body))?;
        let mut command = on_core(0, program.as_ref());
        command.arg("-p").arg(directory.path()).arg("-c").arg(at("nginx.conf"));
        command.stderr(std::process::Stdio::null()).kill_on_drop(true);
        let child = command.spawn().map_err(|e| e.to_string())?;
        let nginx = Self { port, _child: child, _directory: directory };
        blitz_tests::until("nginx listens", || async {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
        })
        .await;
        Ok(nginx)
    }

    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}/", self.port)
    }
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn configuration(directory: &str, port: u16, body: usize) -> String {
    let body = "x".repeat(body);
    format!(
        "daemon off; master_process off; pid {directory}/pid; error_log /dev/null;
        worker_rlimit_nofile 20000;
        events {{ worker_connections 19000; }}
        http {{
          access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; http2_max_requests 1000000000;
          http2_max_concurrent_streams 1000; client_body_temp_path {directory}; proxy_temp_path {directory};
          fastcgi_temp_path {directory}; uwsgi_temp_path {directory}; scgi_temp_path {directory};
          server {{
            listen 127.0.0.1:{port} ssl http2 backlog=65535;
            ssl_certificate {directory}/cert.pem; ssl_certificate_key {directory}/key.pem;
            location / {{ default_type text/plain; return 200 '{body}'; }}
          }}
        }}\n"
    )
}

//! How the demo and its worker reach the node's Temporal front: the ordinary client, patient with a
//! node that is just being restarted.

use std::net::SocketAddr;
use std::time::Duration;

use temporalio_client::{
    Client, ClientOptions, Connection, ConnectionOptions, GrpcCompression, Url,
};

use crate::error::Error;

/// How often to try, and how long to wait in between.
const ATTEMPTS: u32 = 300;
const PAUSE: Duration = Duration::from_millis(100);

/// A client of the node at `address`; waits for a node that is not up yet.
pub(crate) async fn connect(address: SocketAddr) -> Result<Client, Error> {
    let target = Url::parse(&format!("http://{address}")).map_err(Error::temporal)?;
    let mut attempt = 1;
    loop {
        let options = ConnectionOptions::new(target.clone())
            .identity("mainstay demo")
            .grpc_compression(GrpcCompression::None)
            .build();
        match Connection::connect(options).await {
            Ok(connection) => {
                let options = ClientOptions::new("default").build();
                return Client::new(connection, options).map_err(Error::temporal);
            }
            Err(error) if attempt == ATTEMPTS => return Err(Error::temporal(error)),
            Err(_) => attempt += 1,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

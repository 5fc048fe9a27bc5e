//! `grpc.health.v1.Health`, as Java's SDK asks it.

use super::fake::{Answer, Fake, Running, SERVICE};
use crate::options::Options;
use tonic::{Code, Request};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

#[tokio::test]
async fn the_service_is_healthy_under_its_name() {
    let (fake, _) = Fake::new(|_| Answer::Never);
    let running = Running::start(fake, Options::default()).await;
    for (service, want) in [("", Ok(1)), (SERVICE, Ok(1)), ("no.such.Service", Err(Code::NotFound))]
    {
        let request = Request::new(HealthCheckRequest { service: service.to_owned() });
        let health = "grpc.health.v1.Health";
        let sent = running.client.send(health, "Check", request, true).await;
        let got = sent.map(|answer| answer.into_inner()).map_err(|status| status.code());
        assert_eq!(got.map(|answer: HealthCheckResponse| answer.status), want, "{service:?}");
    }
    running.stop().await;
}

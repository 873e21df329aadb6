//! What model servers say of themselves: health and metrics.

use futures::future::join_all;

use super::hosting::Hosting;

/// A model server of an endpoint, as it was seen.
pub(crate) struct Observed {
    pub(crate) endpoint: String,
    pub(crate) variant: String,
    /// In an inference pipeline, the container's name.
    pub(crate) container: Option<String>,
    pub(crate) is_healthy: bool,
    /// The text of its `/metrics`, if it has one.
    pub(crate) metrics: Option<String>,
}

/// Looks at all servers of all endpoints, and asks them at the same time.
pub(super) async fn observed(hosting: &Hosting) -> Vec<Observed> {
    let (mut seen, mut asked) = (Vec::new(), Vec::new());
    for endpoint in hosting.all() {
        let Some(serving) = endpoint.lease() else { continue };
        for variant in serving.variants() {
            let servers = variant.servers.servers();
            for server in servers {
                asked.push(server.metrics());
                seen.push(Observed {
                    endpoint: endpoint.name.clone(),
                    variant: variant.name.clone(),
                    container: (servers.len() > 1).then(|| server.container().to_owned()),
                    is_healthy: server.is_healthy(),
                    metrics: None,
                });
            }
        }
    }
    for (observed, metrics) in seen.iter_mut().zip(join_all(asked).await) {
        observed.metrics = metrics;
    }
    seen
}

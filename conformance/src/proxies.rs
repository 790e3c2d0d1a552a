//! Real proxies between the clients and the servers of a case.

use crate::Ctx;
use etcd3_lab::{Error, GrpcProxy, Nginx, NginxBuilder};
use std::net::SocketAddr;
use std::sync::Arc;

impl Ctx {
    /// Starts an nginx for this case alone, with its defaults and what `build` sets, in front of
    /// these servers.
    ///
    /// # Errors
    ///
    /// When there is no nginx, or it does not start.
    pub async fn nginx_with(
        &self,
        upstream: impl IntoIterator<Item = SocketAddr>,
        build: impl FnOnce(NginxBuilder) -> NginxBuilder,
    ) -> Result<Arc<Nginx>, Error> {
        let builder = build(Nginx::builder(upstream));
        self.blocking(move || builder.start().map(Arc::new)).await
    }

    /// Starts etcd's own proxy for this case alone, of the version that is tested, in front of
    /// these endpoints.
    ///
    /// # Errors
    ///
    /// When it does not start, and on the model.
    pub async fn grpc_proxy<E: Into<String>>(
        &self,
        endpoints: impl IntoIterator<Item = E>,
    ) -> Result<Arc<GrpcProxy>, Error> {
        let endpoints: Vec<String> = endpoints.into_iter().map(Into::into).collect();
        let binary = self.etcd.binary()?;
        self.blocking(move || GrpcProxy::start(&binary, endpoints).map(Arc::new)).await
    }
}

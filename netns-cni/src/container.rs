//! The container's namespace and interface.

use crate::attachment_result::AttachmentResult;
use crate::failure::{CniFailure, FailureCode, Outcome};
use crate::request::PluginRequest;
use netns_core::address::{self, Address};
use netns_core::link::{self, Link};
use netns_core::route::{self, Route};
use netns_core::wire::Batch;
use netns_core::{ErrorKind, IfName, Namespace, RouteSocket, sysctl};
use serde_json::Value;
use std::io;
use std::path::Path;

/// The namespace of `CNI_NETNS`.
///
/// # Errors
/// Code 3 if it does not exist, so that the runtime has nothing to clean up; 4 if the file is something else; 8 if it is the
/// plugin's own, where an interface of the container would be one of the host's.
pub(crate) fn open(request: &PluginRequest) -> Outcome<Namespace> {
    let path = request.invocation.netns.as_str();
    let namespace = Namespace::of_path(path).map_err(|error| {
        let code = match Path::new(path).metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => FailureCode::UnknownContainer,
            _ => FailureCode::InvalidEnvironment,
        };
        CniFailure::new(code, format!("CNI_NETNS is {path:?}: {error}"))
    })?;
    if !request.invocation.own_netns && namespace.id()? == Namespace::current()?.id()? {
        let why = format!("CNI_NETNS is {path:?}: it is the namespace that the plugin itself is in");
        return Err(CniFailure::new(FailureCode::SameNamespace, why));
    }
    Ok(namespace)
}

/// The namespace of `CNI_NETNS`, for commands that have nothing to do without one.
///
/// # Errors
/// As [`open`], except that it is no error if the namespace is gone, or nothing is mounted on its path any more.
pub(crate) fn find(request: &PluginRequest) -> Outcome<Option<Namespace>> {
    if request.invocation.netns.is_empty() {
        return Ok(None);
    }
    match open(request) {
        Ok(namespace) => Ok(Some(namespace)),
        Err(failure) if failure.code == FailureCode::SameNamespace as u32 => Err(failure),
        Err(_) => Ok(None),
    }
}

/// The name of `CNI_IFNAME`.
pub(crate) fn interface(request: &PluginRequest) -> Outcome<IfName> {
    let name = &request.invocation.interface;
    IfName::new(name).map_err(|error| {
        CniFailure::new(FailureCode::InvalidEnvironment, format!("CNI_IFNAME is {name:?}: {error}"))
    })
}

/// A link, if there is one of this name.
pub(crate) fn find_link(socket: &mut RouteSocket, name: IfName) -> Outcome<Option<Link>> {
    match link::get(socket, name) {
        Ok(link) => Ok(Some(link)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Gives the interface its addresses, brings it up and adds its routes.
pub(crate) fn configure(
    namespace: &Namespace,
    socket: &mut RouteSocket,
    interface: &Link,
    result: &AttachmentResult,
) -> Outcome<()> {
    let (index, name) = (interface.index, interface.name);
    if result.ips.iter().any(|ip| ip.address.address().is_ipv6()) {
        enable_ipv6(namespace, name)?;
    }
    for ip in &result.ips {
        address::add(socket, &Address::new(index, ip.address))?;
    }
    link::set_up(socket, index)?;
    let mut batch = Batch::new();
    for ip in &result.ips {
        address::encode_local_route(&mut batch, index, ip.address.address());
    }
    if batch.messages() > 0 {
        match socket.execute(&mut batch) {
            // The kernel has added this route itself.
            Err(error) if error.kind() == ErrorKind::Exists => {}
            other => other?,
        }
    }
    for (number, wanted) in result.routes.iter().enumerate() {
        let gateway = wanted.gw.or_else(|| result.gateway(wanted.dst.address().is_ipv4()));
        let mut route = Route::new(wanted.dst, gateway, Some(index));
        let fits = |scope: u32| scope == u32::from(route.scope.0);
        for (key, value) in [
            ("mtu", wanted.mtu),
            ("advmss", wanted.advmss),
            ("scope", wanted.scope.filter(|&scope| !fits(scope))),
        ] {
            if let Some(value) = value.filter(|&value| value != 0 || key == "scope") {
                let why = "routes with this are not supported";
                return Err(CniFailure::unsupported(
                    &format!("routes[{number}].{key}"),
                    &Value::from(value),
                    why,
                ));
            }
        }
        route.metric = wanted.priority.filter(|&priority| priority != 0);
        route.table = wanted.table.filter(|&table| table != 0).unwrap_or(route.table);
        route::prepend(socket, &route)?;
    }
    Ok(())
}

/// Container engines switch IPv6 off for interfaces without an IPv6 address. Addresses are kept when the interface goes down
/// and up again, as IPv4's are.
fn enable_ipv6(namespace: &Namespace, interface: IfName) -> Outcome<()> {
    for name in ["lo", interface.as_str()] {
        let setting = format!("net/ipv6/conf/{name}/disable_ipv6");
        if sysctl::get(namespace, &setting).is_ok_and(|value| value != "0") {
            sysctl::set(namespace, &setting, "0")?;
        }
    }
    let setting = format!("net/ipv6/conf/{interface}/keep_addr_on_down");
    Ok(sysctl::set(namespace, &setting, "1")?)
}

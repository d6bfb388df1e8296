//! Whether the machine is as it was.

use super::plan::RunPlan;
use crate::failure::Failure;
use crate::state::forwarding_of;
use netns_core::{Folder, Namespace, RouteSocket, link, sysctl};

const IP_FORWARD: &str = "net.ipv4.ip_forward";

/// What a run could change, as it was before.
#[derive(Debug)]
pub(crate) struct Before {
    names: Vec<String>,
    folder: Folder,
    links: Vec<u32>,
    /// `None` where there is no `/proc/sys`; then nothing there can be changed either.
    forwarding: Option<String>,
}

impl Before {
    pub(crate) fn observe(host: &Namespace) -> Result<Self, Failure> {
        let links = link::list(&mut RouteSocket::open_in(host)?)?;
        Ok(Self {
            names: Namespace::list()?,
            folder: Folder::observe()?,
            links: links.iter().map(|link| link.index).collect(),
            forwarding: sysctl::get(host, IP_FORWARD).ok(),
        })
    }

    /// The names from the plan that exist now and did not before.
    pub(crate) fn leftovers(&self, host: &Namespace, plan: &RunPlan) -> Result<Vec<String>, Failure> {
        let mut left = Vec::new();
        let names = Namespace::list()?;
        let ours = |name: &String| plan.members.iter().any(|member| member.name == *name);
        left.extend(names.iter().filter(|name| ours(name) && !self.names.contains(name)).cloned());
        for link in link::list(&mut RouteSocket::open_in(host)?)? {
            let ours = link.name == plan.bridge || plan.members.iter().any(|member| member.port == link.name);
            if ours && !self.links.contains(&link.index) {
                left.push(link.name.to_string());
            }
        }
        let folder = Folder::observe()?;
        let is_new = |now: bool, before: bool| now && !before;
        if names.is_empty()
            && (is_new(folder.existed, self.folder.existed) || is_new(folder.mounted, self.folder.mounted))
        {
            left.push("the folder of named namespaces".to_owned());
        }
        if let Some(before) = &self.forwarding
            && let forwarding = sysctl::get(host, IP_FORWARD)?
            && (before.as_str(), forwarding.as_str()) == ("0", "1")
            && forwarding_of(host).needed_by_others()?.is_none()
        {
            left.push(format!("{IP_FORWARD}={forwarding}"));
        }
        Ok(left)
    }
}

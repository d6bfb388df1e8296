//! The container in the path of a cgroup.

/// What a cgroup's name says about a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CgroupName {
    /// The id that an engine gave it.
    Id(String),
    /// Its name.
    Name(String),
}

/// How long the ids of Docker, podman, containerd and CRI-O are.
const ID: usize = 64;

/// The containers in the paths of `/proc/PID/cgroup`, the innermost first: containers may be nested.
pub(super) fn names(text: &str) -> Vec<CgroupName> {
    let mut names = Vec::new();
    for line in text.lines() {
        // HIERARCHY:CONTROLLERS:PATH, <https://man7.org/linux/man-pages/man7/cgroups.7.html>
        let Some(path) = line.splitn(3, ':').nth(2) else { continue };
        for name in path.rsplit('/').filter_map(of_group) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// What one group's name says: `docker-ID.scope`, `libpod-ID.scope`, `cri-containerd-ID.scope` and `crio-ID.scope` where
/// systemd makes them, elsewhere the id, alone or after a prefix; `lxc.payload.NAME`; `machine-NAME.scope` and
/// `systemd-nspawn@NAME.service`.
fn of_group(group: &str) -> Option<CgroupName> {
    let unit = group.strip_suffix(".scope").or_else(|| group.strip_suffix(".service"));
    let last = unit.unwrap_or(group).rsplit(['-', ':']).next()?;
    if last.len() == ID && last.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some(CgroupName::Id(last.to_owned()));
    }
    let of_unit = |unit: &str| {
        ["machine-", "systemd-nspawn@"].iter().find_map(|prefix| unit.strip_prefix(prefix)).map(unescaped)
    };
    let name = group.strip_prefix("lxc.payload.").map(str::to_owned).or_else(|| of_unit(unit?));
    name.filter(|name| !name.is_empty()).map(CgroupName::Name)
}

/// Undoes systemd's escaping of unit names: `\x2d` is a minus.
fn unescaped(name: &str) -> String {
    let mut parts = name.split("\\x");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if byte.is_ascii_graphic() => {
                text.push(char::from(byte));
                text.push_str(&part[2..]);
            }
            _ => {
                text.push_str("\\x");
                text.push_str(part);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{CgroupName, names};

    #[test]
    fn every_engines_groups_are_known() {
        let (a, b) = ("a".repeat(64), "b0".repeat(32));
        let id = |id: &str| CgroupName::Id(id.to_owned());
        let name = |name: &str| CgroupName::Name(name.to_owned());
        for (text, expected) in [
            (format!("0::/system.slice/docker-{a}.scope"), vec![id(&a)]),
            (format!("12:pids:/docker/{a}\n0::/docker/{a}"), vec![id(&a)]),
            (format!("0::/machine.slice/libpod-{a}.scope/container"), vec![id(&a)]),
            (format!("0::/libpod_parent/libpod-{a}"), vec![id(&a)]),
            (format!("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{a}.scope"), vec![id(&a)]),
            (format!("0::/kubepods/besteffort/pod12/{a}"), vec![id(&a)]),
            (format!("0::/system.slice/kubepods-pod1.slice:cri-containerd:{a}"), vec![id(&a)]),
            // A pod in a node that is a container.
            (format!("0::/docker-{b}.scope/kubelet.slice/crio-{a}.scope"), vec![id(&a), id(&b)]),
            ("0::/lxc.payload.web/init.scope".to_owned(), vec![name("web")]),
            ("0::/machine.slice/machine-my\\x2dbox.scope".to_owned(), vec![name("my-box")]),
            ("0::/machine.slice/systemd-nspawn@web.service/payload".to_owned(), vec![name("web")]),
            ("0::/user.slice/user-0.slice/session-1.scope".to_owned(), vec![]),
            (format!("0::/docker/{}", "a".repeat(63)), vec![]),
            ("0::/".to_owned(), vec![]),
            ("nonsense".to_owned(), vec![]),
        ] {
            assert_eq!(names(&text), expected, "{text}");
        }
    }
}

//! What the programs were loaded with, read back from the kernel, and what the machine says by other means.

use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;

use aya::maps::{MapData, MapInfo};
use aya::programs::loaded_programs;
use netns_ebpf::{Monitor, MonitorOptions, layout};
use object::{Object, ObjectSymbol};

use crate::harness::privileged;
use crate::load::is_too_old;

/// The program's constants in the kernel, as they lie in the object's `.rodata`.
struct Constants(Vec<u8>);

impl Constants {
    fn of(monitor: &Monitor) -> Self {
        let id = monitor.program_ids()[0];
        let program = loaded_programs().flatten().find(|program| program.id() == id).unwrap();
        let maps = program.map_ids().unwrap().unwrap();
        let rodata = |id: &u32| MapInfo::from_id(*id).unwrap().name_as_str() == Some(".rodata");
        let id = maps.into_iter().find(rodata).expect("a map of constants");
        let size = MapInfo::from_id(id).unwrap().value_size();
        Self(look_up(&MapData::from_id(id).unwrap(), size as usize))
    }

    /// The bytes of a constant.
    fn get<const N: usize>(&self, name: &str) -> [u8; N] {
        let bytes = include_bytes!("../../object/netns-ebpf.o");
        let object = object::File::parse(&bytes[..]).unwrap();
        let symbol = object.symbols().find(|symbol| symbol.name() == Ok(name)).unwrap();
        *self.0[usize::try_from(symbol.address()).unwrap()..].first_chunk().unwrap()
    }
}

/// The only element of a map.
fn look_up(map: &MapData, size: usize) -> Vec<u8> {
    const BPF_MAP_LOOKUP_ELEM: libc::c_long = 1;
    #[repr(C)]
    struct Attr {
        map: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    let (key, mut value) = (0_u32, vec![0_u8; size]);
    let attr = Attr {
        map: u32::try_from(map.fd().as_fd().as_raw_fd()).unwrap(),
        key: &raw const key as u64,
        value: value.as_mut_ptr() as u64,
        flags: 0,
    };
    // SAFETY: `key` is as long as an array's keys are, and `value` as this one's values.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_MAP_LOOKUP_ELEM, &raw const attr, size_of::<Attr>()) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    value
}

#[test]
fn additions_are_atomic_where_the_kernel_preempts_programs_and_only_there() {
    const TEST: &str = "additions_are_atomic_where_the_kernel_preempts_programs_and_only_there";
    if !privileged(TEST) || is_too_old(TEST) {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    let uname = Command::new("uname").arg("-v").output().unwrap().stdout;
    let is_realtime = String::from_utf8(uname).unwrap().contains("PREEMPT_RT");
    let preemptible: [u8; 1] = Constants::of(&monitor).get(layout::PREEMPTIBLE);
    assert_eq!(preemptible, [u8::from(is_realtime)]);
}

#[test]
fn there_is_a_line_for_every_possible_cpu_and_for_every_slot_asked_for() {
    const TEST: &str = "there_is_a_line_for_every_possible_cpu_and_for_every_slot_asked_for";
    if !privileged(TEST) || is_too_old(TEST) {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions { slots: 2, ..MonitorOptions::default() }).unwrap();
    let configured = Command::new("getconf").arg("_NPROCESSORS_CONF").output().unwrap().stdout;
    let configured: u32 = String::from_utf8(configured).unwrap().trim().parse().unwrap();
    let cpus = u32::from_ne_bytes(Constants::of(&monitor).get(layout::CPUS));
    // There can be more than there are.
    assert!(cpus >= configured, "{cpus} of {configured}");
    let text = std::fs::read_to_string("/proc/softirqs").unwrap();
    assert_eq!(text.lines().next().unwrap().split_whitespace().count(), cpus as usize);

    let id = monitor.program_ids()[0];
    let program = loaded_programs().flatten().find(|program| program.id() == id).unwrap();
    let maps = program.map_ids().unwrap().unwrap().into_iter().map(|id| MapInfo::from_id(id).unwrap());
    let counters = maps.filter(|map| map.name_as_str() == Some(layout::COUNTERS));
    assert_eq!(counters.map(|map| map.max_entries()).collect::<Vec<_>>(), [3 * cpus]);
}

//! Which topologies are up, and what `up` and `down` say when there is nothing to do.

use crate::topology::{example, fine, topology};
use crate::{done, state_of_the_host, xtask};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;
use tests::{in_host, interrupted};

fn labs() -> Value {
    let listed = done(&mut xtask("labs --json"));
    assert_eq!((listed.code, listed.err.as_str()), (Some(0), ""));
    serde_json::from_str(&listed.out).unwrap()
}

#[test]
fn having_nothing_to_do_is_reported() {
    in_host(|_| {
        let before = state_of_the_host();
        let typo = topology("down", Path::new("/run/typo.toml"));
        assert_eq!((typo.code, typo.out.as_str()), (Some(1), ""));
        assert_eq!(
            typo.err,
            "error: there is no file /run/typo.toml, and no topology of it is up: `netns labs` lists those that are\n"
        );
        assert_eq!(state_of_the_host(), before);
        let file = example("cable");
        let down = topology("down", &file);
        assert_eq!((down.code, down.out.as_str()), (Some(0), ""));
        assert_eq!(down.err, "/run/cable.toml is not up: there is nothing to take down\n");
        assert_eq!(topology("down --quiet", &file).err, "");

        assert_eq!(topology("up", &file).err, "");
        let again = topology("up", &file);
        assert_eq!((again.code, again.out.as_str()), (Some(0), ""));
        assert_eq!(again.err, "/run/cable.toml is up: there is nothing to change\n");
        assert_eq!(topology("up --quiet", &file).err, "");
        fs::remove_file(&file).unwrap();
        assert_eq!(topology("down", &file).err, "", "it is up, though its file is gone");
        assert_eq!(topology("down", &file).code, Some(1));
    });
}

#[test]
fn what_is_up_is_listed() {
    in_host(|_| {
        let none = done(&mut xtask("labs"));
        assert_eq!((none.out.as_str(), none.err.as_str()), ("", "no topology is up\n"));
        assert_eq!(labs(), json!([]));
        let (bridge, cable) = (example("bridge"), PathBuf::from("/run/my cable.toml"));
        fs::write(
            &cable,
            "[namespace.left]\ninterface.eth0 = { peer = 'right/eth0' }\n\
            [namespace.right]\ninterface.eth0 = { peer = 'left/eth0' }\n",
        )
        .unwrap();
        fine("up", &bridge);
        assert_eq!(done(xtask("up --quiet").arg(&cable)).code, Some(0));
        assert_eq!(
            done(&mut xtask("labs")).out,
            "/run/bridge.toml: up, 3 namespaces, 1 bridge\n/run/my cable.toml: up, 2 namespaces, 0 bridges\n"
        );
        fs::remove_file(&cable).unwrap();
        assert_eq!(
            labs(),
            json!([
                { "file": "/run/bridge.toml", "file_exists": true, "complete": true,
                  "namespaces": ["ns1", "ns2", "ns3"], "bridges": [{ "place": "host", "name": "br0" }] },
                { "file": "/run/my cable.toml", "file_exists": false, "complete": true,
                  "namespaces": ["left", "right"], "bridges": [] },
            ])
        );
        assert!(done(&mut xtask("labs")).out.contains("its file is gone"));
        // An unreadable record does not hide the others.
        let record = fs::read_dir("/run/netns-topology").unwrap().map(|entry| entry.unwrap().path());
        let record = record.into_iter().find(|path| path.to_string_lossy().contains("/my cable")).unwrap();
        let text = fs::read_to_string(&record).unwrap();
        fs::write(&record, text.replacen("netns-record 1", "netns-record 2", 1)).unwrap();
        let listed = done(&mut xtask("labs"));
        assert_eq!((listed.code, listed.out.lines().count()), (Some(1), 1), "{}", listed.err);
        assert!(listed.err.contains("my cable"), "{}", listed.err);
        fs::write(&record, text).unwrap();
        for file in [&bridge, &cable] {
            assert_eq!(done(xtask("down").arg(file)).code, Some(0));
        }
        assert_eq!(labs(), json!([]));
    });
}

#[test]
fn a_symbolic_link_stands_for_its_target() {
    in_host(|_| {
        let file = example("cable");
        fs::create_dir("/run/labs").unwrap();
        let link = PathBuf::from("/run/labs/current.toml");
        symlink("../cable.toml", &link).unwrap();
        fine("up", &file);
        let again = topology("up", &link);
        assert_eq!((again.code, again.out.as_str()), (Some(0), ""), "{}", again.err);
        assert_eq!(labs()[0]["file"], "/run/cable.toml");
        // The link leads to the record even when the file is gone.
        fs::remove_file(&file).unwrap();
        assert!(fine("down", &link).contains("- namespace ns1\n"));
        assert_eq!(labs(), json!([]));

        // 0.1.0 recorded a topology that was brought up through a link under the link's path.
        let file = example("cable");
        fine("up", &link);
        let (record, as_link) =
            (only_record(), PathBuf::from("/run/netns-topology/current-ffe9489fd68d3450.record"));
        let text = fs::read_to_string(&record).unwrap();
        fs::write(&as_link, text.replace("/run/cable.toml", "/run/labs/current.toml")).unwrap();
        fs::remove_file(&record).unwrap();
        assert_eq!(fine("diff", &link), "");
        assert!(fine("down", &link).contains("- namespace ns1\n"));
        assert_eq!((labs(), file.exists()), (json!([]), true));
    });
}

fn only_record() -> PathBuf {
    let mut entries = fs::read_dir("/run/netns-topology").unwrap();
    let path = entries.next().unwrap().unwrap().path();
    assert!(entries.next().is_none());
    path
}

#[test]
fn a_signal_does_not_end_the_wait_for_another_change() {
    in_host(|_| {
        fs::create_dir("/run/netns-topology").unwrap();
        let held = fs::File::open("/run/netns-topology").unwrap();
        held.lock().unwrap();
        let (interrupt, is_interrupted) = channel::<()>();
        let holder = thread::spawn(move || {
            is_interrupted.recv().unwrap();
            // Some signals arrive meanwhile.
            thread::sleep(Duration::from_millis(200));
            drop(held);
        });
        let lab = netns_topology::Lab::new("/run/lab.toml").unwrap();
        let wait = || {
            interrupt.send(()).unwrap();
            lab.down()
        };
        let down = interrupted(Duration::from_millis(10), Duration::from_mins(1), wait);
        holder.join().unwrap();
        assert!(!down.unwrap().was_up);
    });
}

use super::*;
use crate::error::{Cause, Operation, SystemCall};
use crate::{Error, Result};
use std::fs;
use std::io;
use std::path::PathBuf;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("netns-core-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.join("a.record")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn line(number: usize) -> Line {
    Line::new("thing").with(number).with("two words")
}

#[test]
fn a_line_is_read_as_it_was_written() {
    for word in ["plain", "", "-", "%", "two words", "a\nb\t%20", "ü", "100%"] {
        let written = Line::new("key").with(word).with_option(None::<u8>).with(word);
        let text = written.to_string();
        assert!(!text.contains('\n') && text.is_ascii(), "{text:?}");
        assert_eq!(text.parse(), Ok(written.clone()), "{text}");
        assert_eq!((written.text(0), written.text(1), written.text(2)), (Some(word), None, Some(word)));
        assert_eq!((written.optional::<String>(1), written.optional::<String>(3)), (Some(None), None));
    }
    let bytes = Line::new("key").with_bytes([0, 255, b' ']);
    assert_eq!(bytes.to_string(), "key %00%ff%20");
    let read: Line = bytes.to_string().parse().unwrap();
    assert_eq!((read.bytes(0), read.text(0)), (Some(&[0, 255, b' '][..]), None));
    for text in ["", " ", "key ", "key  a", "key a%2", "key a%zz", "key \u{fc}", "k=y a"] {
        assert_eq!(text.parse::<Line>(), Err(()), "{text:?}");
    }
}

#[test]
fn one_that_cannot_be_begun_leaves_no_file() {
    let folder = Folder::new("record-begun");
    let path = folder.path();
    // In the way of the next version, and not to be removed as a file.
    fs::create_dir(folder.0.join("a.record.new")).unwrap();
    let _ = RecordFile::create(&path, "test").unwrap_err();
    assert!(!path.exists());
    // One that says something stays.
    fs::remove_dir(folder.0.join("a.record.new")).unwrap();
    RecordFile::create(&path, "test").unwrap().append(&[line(1)]).unwrap();
    fs::create_dir(folder.0.join("a.record.new")).unwrap();
    let _ = RecordFile::create(&path, "test").unwrap_err();
    assert_eq!(RecordFile::peek(&path, "test").unwrap(), Some(vec![line(1)]));
}

#[test]
fn after_a_kill_at_any_byte_it_says_what_was_finished() {
    let folder = Folder::new("record-kill");
    let path = folder.path();
    let mut record = RecordFile::create(&path, "test").unwrap();
    record.append(&[line(1)]).unwrap();
    record.append(&[line(2), line(3)]).unwrap();
    drop(record);
    let whole = fs::read(&path).unwrap();
    for length in 0..=whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let ends = whole[..length].split(|&byte| byte == b'\n').count() - 1;
        let finished: Vec<Line> = (1..ends).map(line).collect();
        assert_eq!(RecordFile::peek(&path, "test").unwrap().unwrap(), finished, "{length} bytes");
        let mut record = RecordFile::open(&path, "test").unwrap().unwrap();
        assert_eq!(record.lines(), finished, "{length} bytes");
        // And goes on from there, without the rest of the line that was not finished.
        record.append(&[line(9)]).unwrap();
        drop(record);
        let record = RecordFile::open(&path, "test").unwrap().unwrap();
        assert_eq!(record.lines().last(), Some(&line(9)), "{length} bytes");
        assert_eq!(record.lines().len(), finished.len() + 1, "{length} bytes");
    }
}

#[test]
fn it_is_replaced_in_one_step_and_stays_locked() {
    let folder = Folder::new("record-replace");
    let path = folder.path();
    let mut record = RecordFile::create(&path, "test").unwrap();
    for number in 0..200 {
        record.append(&[line(number)]).unwrap();
    }
    assert!(record.is_worth_compacting(2) && !record.is_worth_compacting(150));
    // What a writer left that was killed before it renamed its file is no matter.
    fs::write(folder.0.join("a.record.new"), "half").unwrap();
    record.replace(vec![line(7)]).unwrap();
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
    let held = RecordFile::open(&path, "test").unwrap_err();
    assert!(RecordFile::is_held(&held), "{held}");
    record.append(&[line(8)]).unwrap();
    drop(record);
    assert_eq!(RecordFile::peek(&path, "test").unwrap().unwrap(), [line(7), line(8)]);

    fs::write(folder.0.join("a.record.new"), "half").unwrap();
    RecordFile::open(&path, "test").unwrap().unwrap().remove().unwrap();
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0);
}

#[test]
fn a_record_that_was_removed_before_it_was_locked_is_begun_anew() {
    let folder = Folder::new("record-race");
    let path = folder.path();
    // Threads that take it, write and remove it: none goes on with a file that nobody can find.
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let path = &path;
            scope.spawn(move || {
                for _ in 0..500 {
                    match RecordFile::create(path, "test") {
                        Err(error) => assert!(RecordFile::is_held(&error), "{error}"),
                        Ok(mut record) => {
                            assert_eq!(record.lines(), []);
                            record.append(&[line(worker)]).unwrap();
                            assert_eq!(RecordFile::peek(path, "test").unwrap().unwrap(), [line(worker)]);
                            record.remove().unwrap();
                        }
                    }
                }
            });
        }
    });
    assert!(RecordFile::open(&path, "test").unwrap().is_none());
}

#[test]
fn what_another_version_or_somebody_else_wrote_is_refused_with_a_sentence() {
    let folder = Folder::new("record-version");
    let path = folder.path();
    let refused = |text: &str, why: &str| {
        fs::write(&path, text).unwrap();
        let error = RecordFile::open(&path, "test").unwrap_err();
        assert!(error.is_invalid_input());
        let expected = format!("read record {}: {why}", path.display());
        assert!(error.to_string().starts_with(&expected), "{error}\n{expected}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "it is as it was");
    };
    refused(
        "netns-record 2 test -\nwhatever\n",
        "its format is version 2, and this program reads version 1 only",
    );
    refused("netns-record 1 run -\n", "it is a record of the kind \"run\", not \"test\"");
    refused("netns-record 1 test %\nthing  1\nthing 2\n", "line 2 makes no sense");
    for text in ["{}\n", "{", "netns-record one test -\n", "\n", "\u{fc}\n"] {
        refused(text, "this is no record of this program");
    }
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    assert!(RecordFile::create(&path, "test").is_err(), "a symbolic link is not followed");
}

#[test]
fn nothing_is_left_of_what_an_earlier_boot_wrote() {
    let folder = Folder::new("record-boot");
    let path = folder.path();
    fs::write(&path, "netns-record 1 test 00000000-0000\nthing 1\n").unwrap();
    let mut record = RecordFile::open(&path, "test").unwrap().unwrap();
    assert_eq!(record.lines(), []);
    record.append(&[line(1)]).unwrap();
    drop(record);
    assert_eq!(RecordFile::peek(&path, "test").unwrap().unwrap(), [line(1)]);
}

#[test]
fn identities_are_read_as_they_were_written() {
    let id = crate::NamespaceId { device: 4, inode: 4_026_531_840 };
    let (new, old) = (NamespaceIdentity { cookie: Some(7), id }, NamespaceIdentity { cookie: None, id });
    let later = NamespaceIdentity { cookie: Some(8), id };
    assert!(new.is(&new) && old.is(&old) && !new.is(&later) && !new.is(&old));
    for identity in [new, old] {
        assert_eq!(identity.to_string().parse(), Ok(identity));
        let namespace = RecordedNamespace { name: "a b".to_owned(), identity };
        assert_eq!(RecordedNamespace::read(&namespace.line()), Some(namespace));
    }
    let link = RecordedLink {
        name: crate::IfName::new("veth-ns1").unwrap(),
        index: Some(1002),
        mac: crate::MacAddress::local(42),
    };
    assert_eq!(link.line().to_string(), "link veth-ns1 1002 02:00:00:00:00:2a");
    for link in [link, RecordedLink { index: None, ..link }] {
        assert_eq!(RecordedLink::read(&link.line()), Some(link));
    }
    let sysctl = RecordedSysctl {
        name: "net/ipv4/ping_group_range".to_owned(),
        before: "1\t0".to_owned(),
        written: String::new(),
    };
    assert_eq!(RecordedSysctl::read(&sysctl.line()), Some(sysctl));
    for interfaces in [vec![], vec!["lo".to_owned(), "a.5".to_owned()]] {
        let forwarding = RecordedForwarding { interfaces };
        assert_eq!(RecordedForwarding::read(&forwarding.line()), Some(forwarding));
    }
    assert_eq!(RecordedLink::read(&Line::new("namespace").with("veth-ns1").with(1).with("x")), None);
}

#[test]
fn what_is_no_file_is_not_peeked_at() {
    let folder = Folder::new("record-peek");
    let path = folder.path();
    assert!(RecordFile::peek(&path, "test").unwrap().is_none());
    RecordFile::create(&path, "test").unwrap().append(&[line(1)]).unwrap();
    assert_eq!(RecordFile::peek(&path, "test").unwrap().unwrap(), [line(1)]);
    let other = folder.0.join("b.record");
    std::os::unix::fs::symlink(&path, &other).unwrap();
    assert_eq!(RecordFile::peek(&other, "test").unwrap_err().errno(), Some(libc::ELOOP));
    fs::remove_file(&other).unwrap();
    // Opened as files are, it would be waited for somebody to write.
    assert!(std::process::Command::new("mkfifo").arg(&other).status().unwrap().success());
    assert!(RecordFile::peek(&other, "test").unwrap_err().is_invalid_input());
}

#[test]
fn a_replacement_that_fails_names_its_step() {
    let folder = Folder::new("record-step");
    let mut record = RecordFile::create(folder.path(), "test").unwrap();
    record.append(&[line(1)]).unwrap();
    fs::create_dir(folder.0.join("a.record.new")).unwrap();
    let error = record.replace(vec![line(2)]).unwrap_err();
    assert!(matches!(error.cause(), Cause::System { call: SystemCall::Unlink, .. }), "{error:?}");
    assert_eq!(record.lines(), [line(1)]);
}

#[test]
fn what_a_shortage_kept_from_being_undone_is_tried_once_more() {
    let attempts = |errno: i32| {
        let mut made = 0;
        let outcome: Result<()> = undo_twice(|| {
            made += 1;
            let error = io::Error::from_raw_os_error(errno);
            Err(Error::system(Operation::DeleteNamespace, "one", SystemCall::Umount)(error))
        });
        assert_eq!(outcome.unwrap_err().errno(), Some(errno));
        made
    };
    assert_eq!([libc::ENOBUFS, libc::ENOMEM, libc::EINTR, libc::EBUSY].map(attempts), [2; 4]);
    assert_eq!([libc::EPERM, libc::EROFS, libc::ENODEV].map(attempts), [1; 3]);
    let mut outcomes = [Ok(7), Err(Cause::Reply("the kernel did not answer".into()))].into_iter();
    let undone = undo_twice(|| {
        let next = outcomes.next_back().unwrap();
        next.map_err(|cause| Error::new(Operation::DeleteNamespace, "one", cause))
    });
    assert_eq!(undone.unwrap(), 7);
}

//! A runtime as small as can be: it calls the plugins of a list as libcni does.

use serde_json::{Value, json};
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tests::Scratch;

/// What a plugin did.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    /// What it wrote on stdout; `Null` if that is nothing.
    pub(crate) out: Value,
    pub(crate) err: String,
}

impl Answer {
    fn of(output: &Output) -> Self {
        let out = String::from_utf8(output.stdout.clone()).expect("stdout in UTF-8");
        let json = serde_json::from_str(&out).unwrap_or_else(|error| {
            assert!(out.trim().is_empty(), "stdout is no JSON: {error}: {out}");
            Value::Null
        });
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        Self { code: output.status.code(), out: json, err }
    }

    /// What was written, of a success.
    #[track_caller]
    pub(crate) fn fine(self) -> Value {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{}", self.out);
        self.out
    }

    /// The code and the words of a failure.
    #[track_caller]
    pub(crate) fn failure(self) -> (u64, String) {
        assert_ne!(self.code, Some(0), "it succeeded: {}", self.out);
        let text = |key: &str| self.out[key].as_str().unwrap_or_default().to_owned();
        let code = self.out["code"].as_u64().unwrap_or_else(|| panic!("no code: {self:?}"));
        (code, format!("{} {}", text("msg"), text("details")))
    }
}

/// Where plugins are.
#[derive(Debug)]
pub(crate) struct Plugins {
    folders: String,
    _scratch: Option<Scratch>,
}

impl Plugins {
    /// Ours, by each of its names. Other plugins are found in Debian's folder.
    pub(crate) fn ours() -> Self {
        let scratch = Scratch::new();
        for name in ["netns-cni", "bridge", "firewall", "host-local", "loopback", "portmap", "tuning"] {
            symlink(env!("CARGO_BIN_EXE_netns-cni"), scratch.path().join(name)).expect("a link");
        }
        Self { folders: format!("{}:/usr/lib/cni", scratch.path().display()), _scratch: Some(scratch) }
    }

    /// The reference's, as Debian has them.
    pub(crate) fn debians() -> Self {
        Self { folders: debians_folder().to_owned(), _scratch: None }
    }

    /// These, and before them those in a folder of the test's.
    pub(crate) fn with_folder(self, folder: &Path) -> Self {
        Self { folders: format!("{}:{}", folder.display(), self.folders), ..self }
    }

    fn find(&self, name: &str) -> PathBuf {
        let mut folders = std::env::split_paths(&self.folders).map(|folder| folder.join(name));
        folders.find(|path| path.exists()).unwrap_or_else(|| panic!("no plugin {name} in {}", self.folders))
    }

    /// A plugin's command, with these variables and no other.
    pub(crate) fn command<'a>(
        &self,
        name: &str,
        variables: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Command {
        let mut command = Command::new(self.find(name));
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).env("CNI_PATH", &self.folders);
        for (name, value) in variables {
            command.env(name, value);
        }
        command
    }
}

/// Runs a command with this input.
pub(crate) fn answer(command: &mut Command, input: &[u8]) -> Answer {
    Answer::of(&output(command, input))
}

pub(crate) fn output(command: &mut Command, input: &[u8]) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap_or_else(|error| panic!("{}: {error}", shown(command)));
    let mut stdin = child.stdin.take().expect("a pipe");
    // A plugin that fails early need not read.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

fn shown(command: &Command) -> String {
    OsStr::to_string_lossy(command.get_program()).into_owned()
}

/// A container in a network: its id, the path of its namespace, and its interface.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attachment<'a> {
    pub(crate) container: &'a str,
    pub(crate) netns: &'a str,
    pub(crate) interface: &'a str,
}

/// A network of a list of plugins.
#[derive(Debug)]
pub(crate) struct Runtime {
    pub(crate) plugins: Plugins,
    pub(crate) list: Value,
    /// What capabilities are given, for plugins that declare them.
    pub(crate) capabilities: Value,
    /// `CNI_ARGS`.
    pub(crate) arguments: String,
}

impl Runtime {
    pub(crate) fn new(plugins: Plugins, list: Value) -> Self {
        Self { plugins, list, capabilities: json!({}), arguments: String::new() }
    }

    /// Calls each plugin with the result of the one before; the last one's result, or the first failure.
    pub(crate) fn add(&self, attachment: Attachment<'_>) -> Answer {
        let mut result = Value::Null;
        let mut last = None;
        for plugin in self.configured() {
            let answer = self.call("ADD", plugin, Some(attachment), &result, &Value::Null);
            if answer.code != Some(0) {
                return answer;
            }
            result = answer.out.clone();
            last = Some(answer);
        }
        last.expect("a plugin")
    }

    /// Calls the plugins in reverse; the first failure, or the last answer.
    pub(crate) fn del(&self, attachment: Attachment<'_>, result: &Value) -> Answer {
        self.each("DEL", self.configured().iter().rev(), Some(attachment), result, &Value::Null)
    }

    pub(crate) fn check(&self, attachment: Attachment<'_>, result: &Value) -> Answer {
        self.each("CHECK", self.configured().iter(), Some(attachment), result, &Value::Null)
    }

    pub(crate) fn gc(&self, valid: &[Attachment<'_>]) -> Answer {
        let entry = |one: &Attachment<'_>| json!({"containerID": one.container, "ifname": one.interface});
        let valid: Vec<Value> = valid.iter().map(entry).collect();
        self.each("GC", self.configured().iter(), None, &Value::Null, &valid.into())
    }

    pub(crate) fn status(&self) -> Answer {
        self.each("STATUS", self.configured().iter(), None, &Value::Null, &Value::Null)
    }

    fn configured(&self) -> &[Value] {
        self.list["plugins"].as_array().expect("plugins")
    }

    fn each<'a>(
        &self,
        command: &str,
        plugins: impl Iterator<Item = &'a Value>,
        attachment: Option<Attachment<'_>>,
        result: &Value,
        valid: &Value,
    ) -> Answer {
        let mut last = None;
        for plugin in plugins {
            let answer = self.call(command, plugin, attachment, result, valid);
            if answer.code != Some(0) {
                return answer;
            }
            last = Some(answer);
        }
        last.expect("a plugin")
    }

    fn call(
        &self,
        command: &str,
        plugin: &Value,
        attachment: Option<Attachment<'_>>,
        previous: &Value,
        valid: &Value,
    ) -> Answer {
        let (mut command, input) = self.prepare(command, plugin, attachment, previous, valid);
        answer(&mut command, &input)
    }

    /// The call of the first plugin, as a command and its input.
    pub(crate) fn prepare_first(
        &self,
        command: &str,
        attachment: Attachment<'_>,
        previous: &Value,
    ) -> (Command, Vec<u8>) {
        self.prepare(command, &self.configured()[0], Some(attachment), previous, &Value::Null)
    }

    fn prepare(
        &self,
        command: &str,
        plugin: &Value,
        attachment: Option<Attachment<'_>>,
        previous: &Value,
        valid: &Value,
    ) -> (Command, Vec<u8>) {
        let mut config = plugin.clone();
        config["name"] = self.list["name"].clone();
        config["cniVersion"] = self.list["cniVersion"].clone();
        for (key, value) in [("prevResult", previous), ("cni.dev/valid-attachments", valid)] {
            if !value.is_null() {
                config[key] = value.clone();
            }
        }
        let declared = config.as_object_mut().expect("an object").remove("capabilities");
        let given = self.capabilities.as_object().into_iter().flatten();
        for (name, value) in given.filter(|(name, _)| declared.as_ref().is_some_and(|all| all[name] == true))
        {
            config["runtimeConfig"][name] = value.clone();
        }
        let mut variables = vec![("CNI_COMMAND", command), ("CNI_ARGS", self.arguments.as_str())];
        if let Some(Attachment { container, netns, interface }) = attachment {
            variables.extend([
                ("CNI_CONTAINERID", container),
                ("CNI_IFNAME", interface),
                ("CNI_NETNS", netns),
            ]);
        }
        let name = plugin["type"].as_str().expect("a type");
        (self.plugins.command(name, variables), config.to_string().into_bytes())
    }
}

/// Where Debian has the reference's plugins. Where they are missing the test is skipped.
pub(crate) fn debians_folder() -> &'static str {
    let folder = "/usr/lib/cni";
    if !Path::new(folder).is_dir() {
        tests::skip(&format!("{folder} missing; run: apt-get install containernetworking-plugins"));
    }
    folder
}

//! The plugin that is tested.

use crate::arguments::ConformanceArguments;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The plugin, and its part of a configuration.
#[derive(Debug, Clone)]
pub(crate) struct PluginUnderTest {
    file: PathBuf,
    pub(crate) conf: Value,
    /// `CNI_PATH`.
    pub(crate) path: String,
}

/// Its answer.
#[derive(Debug, Clone)]
pub(crate) struct PluginAnswer {
    pub(crate) is_success: bool,
    /// As text, and as JSON if it parses.
    pub(crate) text: String,
    pub(crate) json: Option<Value>,
}

impl PluginUnderTest {
    pub(crate) fn open(arguments: &ConformanceArguments) -> Result<Self, String> {
        let ConformanceArguments { plugin, conf, path, .. } = arguments;
        let file = std::path::absolute(plugin).map_err(|error| format!("{}: {error}", plugin.display()))?;
        let text = std::fs::read_to_string(conf).map_err(|error| format!("{}: {error}", conf.display()))?;
        let conf: Value =
            serde_json::from_str(&text).map_err(|error| format!("{}: {error}", conf.display()))?;
        let own = file.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
        let path = path.as_ref().map_or(own.clone(), |path| format!("{own}:{path}"));
        Ok(Self { file, conf, path })
    }

    /// What `VERSION` says.
    pub(crate) fn versions(&self) -> Result<Vec<String>, String> {
        let variables = BTreeMap::from([("CNI_COMMAND".to_owned(), "VERSION".to_owned())]);
        let answer = self.call(&variables, json!({"cniVersion": "1.0.0"}).to_string().as_bytes())?;
        let list = answer.json.as_ref().and_then(|json| json["supportedVersions"].as_array());
        let list = list.ok_or_else(|| format!("VERSION gives no supportedVersions: {}", answer.text))?;
        Ok(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    pub(crate) fn command(&self, variables: &BTreeMap<String, String>) -> Command {
        let mut command = Command::new(&self.file);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).envs(variables);
        command
    }

    pub(crate) fn call(
        &self,
        variables: &BTreeMap<String, String>,
        input: &[u8],
    ) -> Result<PluginAnswer, String> {
        answer(&mut self.command(variables), input)
    }

    /// The plugin's file, for starting it in another way.
    pub(crate) fn file(&self) -> &PathBuf {
        &self.file
    }
}

pub(crate) fn answer(command: &mut Command, input: &[u8]) -> Result<PluginAnswer, String> {
    let failed = |error: std::io::Error| format!("run the plugin: {error}");
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = piped.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A plugin need not read its input.
        let _ = stdin.write_all(input);
    }
    let output = child.wait_with_output().map_err(failed)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let json = serde_json::from_str(&text).ok();
    Ok(PluginAnswer { is_success: output.status.success(), text, json })
}

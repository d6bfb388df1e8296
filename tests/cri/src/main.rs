//! Makes and takes down pods, many at once, by the container runtime interface (CRI) of Kubernetes.
//!
//! ```text
//! cri SOCKET run NAME COUNT [HOSTPORT:PORT]..   pods NAME-0, NAME-1 ..; a line each, in their order: id, IP address
//! cri SOCKET stop ID..                          stops and removes pods
//! ```

mod messages;

use messages::{
    PodSandboxConfig, PodSandboxId, PodSandboxMetadata, PodSandboxNetworkStatus, PodSandboxStatusResponse,
    PortMapping, RunPodSandboxRequest,
};
use std::error::Error;
use std::process::ExitCode;
use tokio::runtime::Builder;
use tokio::task::JoinHandle;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    match runtime.block_on(answer(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn answer(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [socket, command, rest @ ..] = &words[..] else {
        return Err("cri SOCKET run NAME COUNT [HOSTPORT:PORT].. | stop ID..".into());
    };
    let channel = Endpoint::from_shared(format!("unix://{socket}"))?.connect().await?;
    match (*command, rest) {
        ("run", [name, count, ports @ ..]) => {
            let ports = ports.iter().map(|port| mapping(port)).collect::<Result<Vec<_>>>()?;
            let configs = (0..count.parse()?).map(|number: u32| config(name, number, &ports));
            let jobs: Vec<JoinHandle<_>> =
                configs.map(|config| tokio::spawn(run(channel.clone(), config))).collect();
            for line in all(jobs).await? {
                println!("{line}");
            }
        }
        ("stop", ids) => {
            let ids = ids.iter().map(|id| PodSandboxId { id: (*id).to_owned() });
            let jobs = ids.map(|id| tokio::spawn(stop(channel.clone(), id))).collect();
            all(jobs).await?;
        }
        _ => return Err(format!("unknown: {command}").into()),
    }
    Ok(())
}

/// Waits for all; the first failure after that.
async fn all<T>(jobs: Vec<JoinHandle<std::result::Result<T, Status>>>) -> Result<Vec<T>> {
    let mut answers = Vec::new();
    for job in jobs {
        answers.push(job.await?);
    }
    Ok(answers.into_iter().collect::<std::result::Result<_, _>>()?)
}

async fn run(channel: Channel, config: PodSandboxConfig) -> std::result::Result<String, Status> {
    let request = RunPodSandboxRequest { config: Some(config), runtime_handler: String::new() };
    let pod: PodSandboxId = call(&channel, "RunPodSandbox", request).await?;
    let status: PodSandboxStatusResponse = call(&channel, "PodSandboxStatus", pod.clone()).await?;
    let PodSandboxNetworkStatus { ip } = status.status.and_then(|status| status.network).unwrap_or_default();
    Ok(format!("{} {ip}", pod.id))
}

async fn stop(channel: Channel, pod: PodSandboxId) -> std::result::Result<(), Status> {
    let () = call(&channel, "StopPodSandbox", pod.clone()).await?;
    call(&channel, "RemovePodSandbox", pod).await
}

async fn call<Q, A>(channel: &Channel, method: &str, request: Q) -> std::result::Result<A, Status>
where
    Q: prost::Message + 'static,
    A: prost::Message + Default + 'static,
{
    let mut client = Grpc::new(channel.clone());
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::try_from(format!("/runtime.v1.RuntimeService/{method}"))
        .map_err(|error| Status::internal(error.to_string()))?;
    let codec = ProstCodec::<Q, A>::default();
    Ok(client.unary(Request::new(request), path, codec).await?.into_inner())
}

fn config(name: &str, number: u32, ports: &[PortMapping]) -> PodSandboxConfig {
    let name = format!("{name}-{number}");
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: name.clone(),
            uid: name.clone(),
            namespace: "default".to_owned(),
            attempt: 0,
        }),
        hostname: name,
        port_mappings: ports.to_vec(),
    }
}

/// Of TCP.
fn mapping(text: &str) -> Result<PortMapping> {
    let (host, inside) = text.split_once(':').ok_or_else(|| format!("not HOSTPORT:PORT: {text}"))?;
    Ok(PortMapping { protocol: 0, container_port: inside.parse()?, host_port: host.parse()? })
}

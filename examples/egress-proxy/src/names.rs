//! Questions for names, and what their answers open.

use crate::Failure;
use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::{Name, RData};
use netns_ebpf::{EgressPolicy, Monitor};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(5);

/// Which names may be reached, and what it takes to open their addresses.
pub struct Names {
    pub resolver: SocketAddr,
    pub allowed: Vec<String>,
    pub monitor: Arc<Monitor>,
    pub policy: EgressPolicy,
}

impl Names {
    /// Whether a name is one of the allowed ones.
    pub fn allows(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.');
        self.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
    }

    /// What a sandbox is answered. An address is open before the sandbox knows of it.
    async fn reply(&self, question: &Message) -> Result<Message, Failure> {
        let mut reply = Message::response(question.metadata.id, question.metadata.op_code);
        reply.metadata.recursion_desired = question.metadata.recursion_desired;
        reply.metadata.recursion_available = true;
        reply.add_queries(question.queries.iter().cloned());
        reply.metadata.response_code = ResponseCode::NXDomain;
        let [query] = &question.queries[..] else { return Ok(reply) };
        if question.metadata.op_code != OpCode::Query || !self.allows(&query.name.to_ascii()) {
            return Ok(reply);
        }
        // A question of ours, with a number that the sandbox does not know.
        let mut asked = Message::query();
        asked.metadata.recursion_desired = true;
        asked.add_query(query.clone());
        let own = if self.resolver.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(own).await?;
        socket.connect(self.resolver).await?;
        socket.send(&asked.to_vec()?).await?;
        let mut bytes = [0; 4096];
        let answer = loop {
            let length = timeout(PATIENCE, socket.recv(&mut bytes)).await??;
            let Ok(answer) = Message::from_vec(&bytes[..length]) else { continue };
            if answer.metadata.id == asked.metadata.id && answer.queries == asked.queries {
                break answer;
            }
        };
        reply.metadata.response_code = answer.metadata.response_code;
        let mut wanted: Vec<Name> = vec![query.name.clone()];
        for record in answer.answers {
            if !wanted.contains(&record.name) {
                continue;
            }
            // What a list refuses, such as the metadata service, no name opens; and nobody is led there.
            let time = Duration::from_secs(record.ttl.into());
            let opens = |address: IpAddr| self.monitor.allow_egress_for(self.policy, &[address], time);
            let refused = match &record.data {
                RData::A(address) => opens(address.0.into())?,
                RData::AAAA(address) => opens(address.0.into())?,
                RData::CNAME(other) => {
                    wanted.push(other.0.clone());
                    Vec::new()
                }
                _ => continue,
            };
            if refused.is_empty() {
                reply.add_answer(record);
            }
        }
        Ok(reply)
    }
}

/// Answers the questions that come to a socket.
pub async fn answer(socket: UdpSocket, names: Arc<Names>) {
    let socket = Arc::new(socket);
    let mut bytes = [0; 4096];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut bytes).await else { continue };
        let Ok(question) = Message::from_vec(&bytes[..length]) else { continue };
        let (socket, names) = (socket.clone(), names.clone());
        tokio::spawn(async move {
            match names.reply(&question).await.and_then(|reply| Ok::<_, Failure>(reply.to_vec()?)) {
                Ok(reply) => drop(socket.send_to(&reply, peer).await),
                Err(error) => eprintln!("{peer}: {error}"),
            }
        });
    }
}

//! Namespaces: registered once, never deleted yet.

use crate::ask::{Refusal, Reply};
use crate::machine::Decision;
use crate::op::{NamespaceRegistered, Op};
use crate::proto::service;
use base::{Cx, Uuid};
use std::collections::BTreeMap;
use temporalio_protos::temporal::api::enums::v1::NamespaceState;
use temporalio_protos::temporal::api::namespace::v1 as namespace;
use temporalio_protos::temporal::api::replication::v1 as replication;

/// The one cluster there is.
const CLUSTER: &str = "active";
const DAY_SECONDS: i64 = 24 * 3600;
const NAME_LENGTH_MAX: usize = 1_000;
const NAMESPACES_MAX: usize = 10_000;
const PAGE_SIZE_DEFAULT: usize = 100;

/// All namespaces, by name.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Namespaces(BTreeMap<String, Namespace>);

/// One namespace.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Namespace {
    pub(crate) id: Uuid,
    registered: NamespaceRegistered,
}

impl Namespaces {
    /// The namespace that every node has from its first entry on.
    pub(crate) fn birth(cx: &Cx<'_>) -> NamespaceRegistered {
        NamespaceRegistered {
            id: cx.uuid().into(),
            name: "default".into(),
            description: "Default namespace.".into(),
            retention_seconds: DAY_SECONDS,
            ..NamespaceRegistered::default()
        }
    }

    pub(crate) fn by_name(&self, name: &str) -> Result<&Namespace, Refusal> {
        if name.is_empty() {
            return Err(Refusal::InvalidArgument("Namespace not set on request.".into()));
        }
        self.0.get(name).ok_or_else(|| Refusal::NamespaceNotFound(name.to_owned()))
    }

    pub(crate) fn name_of(&self, id: Uuid) -> &str {
        self.0.iter().find(|(_, namespace)| namespace.id == id).map_or("", |(name, _)| name)
    }

    pub(crate) fn apply(&mut self, op: &NamespaceRegistered) {
        let namespace = Namespace { id: op.id.uuid(), registered: op.clone() };
        self.0.insert(op.name.clone(), namespace);
    }

    pub(crate) fn decide_register(
        &self,
        request: &service::RegisterNamespaceRequest,
        cx: &Cx<'_>,
        plan: &mut Vec<Op>,
    ) -> Decision {
        let invalid = |text: &str| Err(Refusal::InvalidArgument(text.into()));
        if request.namespace.is_empty() || request.namespace.len() > NAME_LENGTH_MAX {
            return invalid("Namespace name must have 1 to 1000 bytes.");
        }
        let retention = request.workflow_execution_retention_period.as_ref();
        let retention_seconds = retention.map_or(0, |period| period.seconds);
        if retention_seconds < 3_600 {
            return invalid("A valid retention period of at least one hour is not set on request.");
        }
        if request.is_global_namespace {
            return invalid("Global namespaces need several clusters; there is one here.");
        }
        if self.0.contains_key(&request.namespace) {
            return Err(Refusal::NamespaceAlreadyExists("Namespace already exists.".into()));
        }
        if self.0.len() >= NAMESPACES_MAX {
            return invalid("There are 10000 namespaces already.");
        }
        plan.push(Op::NamespaceRegistered(NamespaceRegistered {
            id: cx.uuid().into(),
            name: request.namespace.clone(),
            description: request.description.clone(),
            owner_email: request.owner_email.clone(),
            retention_seconds,
            data: request.data.clone().into_iter().collect(),
        }));
        Ok(Some(Reply::RegisterNamespace))
    }

    pub(crate) fn describe(&self, request: &service::DescribeNamespaceRequest) -> Decision {
        let found = if request.id.is_empty() {
            self.by_name(&request.namespace)?
        } else {
            let known = self.0.values().find(|n| n.id.to_string() == request.id);
            known.ok_or_else(|| Refusal::NamespaceNotFound(request.id.clone()))?
        };
        Ok(Some(Reply::DescribeNamespace(Box::new(found.description()))))
    }

    pub(crate) fn list(&self, request: &service::ListNamespacesRequest) -> Decision {
        let size = usize::try_from(request.page_size).ok().filter(|size| *size > 0);
        let size = size.unwrap_or(PAGE_SIZE_DEFAULT).min(1_000);
        let after = String::from_utf8(request.next_page_token.clone())
            .map_err(|_| Refusal::InvalidArgument("Invalid NextPageToken.".into()))?;
        let mut rest = self
            .0
            .range::<String, _>((std::ops::Bound::Excluded(&after), std::ops::Bound::Unbounded));
        let page: Vec<_> = rest.by_ref().take(size).collect();
        let next_page_token = match (rest.next(), page.last()) {
            (Some(_), Some((name, _))) => name.as_bytes().to_vec(),
            _ => Vec::new(),
        };
        let namespaces = page.into_iter().map(|(_, namespace)| namespace.description()).collect();
        let response = service::ListNamespacesResponse { namespaces, next_page_token };
        Ok(Some(Reply::ListNamespaces(Box::new(response))))
    }
}

impl Namespace {
    fn description(&self) -> service::DescribeNamespaceResponse {
        let registered = &self.registered;
        let info = namespace::NamespaceInfo {
            name: registered.name.clone(),
            state: NamespaceState::Registered as i32,
            description: registered.description.clone(),
            owner_email: registered.owner_email.clone(),
            data: registered.data.clone().into_iter().collect(),
            id: self.id.to_string(),
            capabilities: Some(namespace::namespace_info::Capabilities {
                eager_workflow_start: true,
                poller_autoscaling: true,
                poller_autoscaling_auto_enroll: true,
                ..Default::default()
            }),
            ..Default::default()
        };
        let config = namespace::NamespaceConfig {
            workflow_execution_retention_ttl: Some(prost_types::Duration {
                seconds: registered.retention_seconds,
                nanos: 0,
            }),
            ..Default::default()
        };
        let cluster = replication::ClusterReplicationConfig {
            cluster_name: CLUSTER.into(),
            ..Default::default()
        };
        service::DescribeNamespaceResponse {
            namespace_info: Some(info),
            config: Some(config),
            replication_config: Some(replication::NamespaceReplicationConfig {
                active_cluster_name: CLUSTER.into(),
                clusters: vec![cluster],
                ..Default::default()
            }),
            ..Default::default()
        }
    }
}

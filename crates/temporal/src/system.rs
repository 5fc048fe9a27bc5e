//! What the server says about itself.

use base::Uuid;
use std::collections::HashMap;
use temporalio_protos::temporal::api::workflowservice::v1::{
    GetClusterInfoResponse, GetSystemInfoResponse, get_system_info_response::Capabilities,
};

/// The release of Temporal's server whose behaviour we follow. Clients parse it as a version and
/// may compare it, so it is not our own version.
const COMPATIBLE_SERVER_VERSION: &str = "1.31.2";

/// Temporal's name for the only cluster of a server that has one.
const CLUSTER_NAME: &str = "active";

/// Clients that are not meant for a later major release of the server, as the server lists them.
const SUPPORTED_CLIENTS: [(&str, &str); 8] = [
    ("temporal-cli", "<2.0.0"),
    ("temporal-dotnet", "<2.0.0"),
    ("temporal-go", "<2.0.0"),
    ("temporal-java", "<2.0.0"),
    ("temporal-python", "<2.0.0"),
    ("temporal-rust", "<2.0.0"),
    ("temporal-typescript", "<2.0.0"),
    ("temporal-ui", "<3.0.0"),
];

/// GetSystemInfo. A capability is true when the machine has it.
pub(crate) fn system_info() -> GetSystemInfoResponse {
    GetSystemInfoResponse {
        server_version: COMPATIBLE_SERVER_VERSION.to_owned(),
        capabilities: Some(Capabilities {
            signal_and_query_header: true,
            internal_error_differentiation: true,
            activity_failure_include_heartbeat: true,
            supports_schedules: false,
            encoded_failure_attributes: true,
            build_id_based_versioning: false,
            upsert_memo: true,
            eager_workflow_start: true,
            sdk_metadata: true,
            count_group_by_execution_status: false,
            nexus: false,
            server_scaled_deployments: false,
            server_scaled_provider_cloud_run: false,
        }),
    }
}

/// GetClusterInfo.
pub(crate) fn cluster_info(cluster_id: Uuid) -> GetClusterInfoResponse {
    let clients = SUPPORTED_CLIENTS.iter().map(|(name, range)| (*name, *range));
    GetClusterInfoResponse {
        supported_clients: clients
            .map(|(name, range)| (name.to_owned(), range.to_owned()))
            .collect::<HashMap<_, _>>(),
        server_version: COMPATIBLE_SERVER_VERSION.to_owned(),
        cluster_id: cluster_id.hyphenated().to_string(),
        cluster_name: CLUSTER_NAME.to_owned(),
        history_shard_count: 1,
        persistence_store: "mainstay".to_owned(),
        visibility_store: "mainstay".to_owned(),
        ..Default::default()
    }
}

//! The protocol's requests, mapped to the pipeline. What is not offered is said not to exist.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, CompleteRequestMethod, CompleteRequestParams,
    CompleteResult, ContentBlock, CustomRequest, CustomResult, ErrorCode, Implementation, ListPromptsRequestMethod,
    ListPromptsResult, ListResourceTemplatesRequestMethod, ListResourceTemplatesResult, ListResourcesRequestMethod,
    ListResourcesResult, ListToolsResult, MetaObject, PaginatedRequestParams, ProgressNotificationParam, ProgressToken,
    ProtocolVersion, ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, Peer, RoleServer, ServerHandler};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::sync::mpsc::Receiver;

use super::{Passage, SPOKEN, errors, listing};
use crate::authn::{Caller, Presented};
use crate::call::{Call, CallId, Progress, Step};
use crate::error::{Code, Failure};
use crate::guard::{Guard, Released};
use crate::identity::PeerIdentity;
use crate::pipeline::Door;

/// For how long a client may reuse a list of tools, in milliseconds.
const LIST_TTL_MS: u64 = 30_000;
/// Steps that may wait for a slow client; more are dropped.
const PROGRESS_QUEUE: usize = 16;
/// For how long a result waits for the steps before it.
const LAST_STEPS: Duration = Duration::from_secs(1);

/// Where the caller comes from.
#[derive(Clone)]
pub(super) enum Entrance {
    /// The HTTP request carries a [`Passage`].
    Carried,
    /// A local process at the other end of a stream.
    Local { door: Arc<dyn Fn() -> Arc<Door> + Send + Sync>, peer: Arc<PeerIdentity> },
}

/// Answers one connection (streams) or one request (HTTP).
#[derive(Clone)]
pub(super) struct Handler {
    entrance: Entrance,
}

impl Handler {
    pub(super) fn new(entrance: Entrance) -> Self {
        Self { entrance }
    }

    async fn passage(&self, context: &RequestContext<RoleServer>) -> Result<Passage, ErrorData> {
        match &self.entrance {
            Entrance::Carried => context
                .extensions
                .get::<http::request::Parts>()
                .and_then(|parts| parts.extensions.get::<Passage>())
                .cloned()
                .ok_or_else(errors::without_caller),
            Entrance::Local { door, peer } => {
                let door = door();
                let (received, started) = (door.clock.now(), door.clock.instant());
                let caller = door.identify(peer, &Presented::Nothing).await.map_err(|f| errors::refused(&f))?;
                Ok(Passage { door, caller, received, started, announced: true })
            }
        }
    }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build()).with_server_info(implementation())
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(&SPOKEN)
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let Passage { door, caller, .. } = self.passage(&context).await?;
        // There is one page, so every cursor is a wrong one.
        if request.is_some_and(|request| request.cursor.is_some()) {
            return Err(refuse(&door, &caller, "unknown cursor").await);
        }
        let tools = door.catalog.visible(&door.policy, caller.scopes()).map(listing::entry).collect();
        let mut result = ListToolsResult::with_all_items(tools);
        if modern(&context) {
            result.ttl_ms = Some(LIST_TTL_MS);
            result.cache_scope = Some(CacheScope::Private);
            result.meta = Some(server_info());
        }
        Ok(result)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Passage { door, caller, received, started, announced } = self.passage(&context).await?;
        let id = CallId::new().map_err(|failure| errors::refused(&failure))?;
        let tool = request.name.into_owned();
        let call = Call {
            id: id.clone(),
            caller,
            tool: tool.clone(),
            arguments: request.arguments.unwrap_or_default(),
            received,
            started,
            announced,
        };
        let passed = tokio::select! {
            // Dropping the call is what cancels it; its record is then closed as abandoned.
            () = context.ct.cancelled() => return Err(ErrorData::internal_error("cancelled", None)),
            passed = pass(&door, call, &context) => passed,
        };
        let mut result = match passed {
            Ok(released) => success(released),
            Err(failure) => errors::answer(&tool, &id, &failure)?,
        };
        if modern(&context) {
            result.meta = Some(server_info());
        }
        Ok(result.into())
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListPromptsRequestMethod>())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListResourcesRequestMethod>())
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListResourceTemplatesRequestMethod>())
    }

    async fn complete(
        &self,
        _: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        Err(ErrorData::method_not_found::<CompleteRequestMethod>())
    }

    /// A known method whose parameters could not be read, or an unknown one; 2026-07-28 does not know the handshake.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let Passage { door, caller, .. } = self.passage(&context).await?;
        let known = match &*request.method {
            "initialize" => !modern(&context),
            method => matches!(method, "server/discover" | "tools/list" | "tools/call"),
        };
        // What could not be read as a call takes the share that a call would have taken. Of other requests the transport sees
        // to it.
        let local = matches!(self.entrance, Entrance::Local { .. });
        if request.method == "tools/call"
            && let Err(failure) = door.spend(&caller).await
        {
            return Err(errors::refused(&failure));
        }
        if known {
            return Err(refuse(&door, &caller, "the parameters are not those of the method").await);
        }
        let failure = Failure::new(Code::MethodUnknown, "there is no such method here");
        if local {
            door.turn_caller_away(&caller, &failure).await;
            return Err(errors::refused(&failure));
        }
        // Over HTTP the transport records what comes without a reason, and adds one.
        Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, failure.public().to_owned(), None))
    }
}

/// Records and makes an error of the protocol's own. Over HTTP it is an answer with status 200, so nobody else would.
async fn refuse(door: &Door, caller: &Caller, text: &'static str) -> ErrorData {
    let failure = Failure::new(Code::ProtocolRefused, text);
    door.turn_caller_away(caller, &failure).await;
    ErrorData::invalid_params(text, Some(json!({ "reason": failure.code().as_str() })))
}

/// Sends the call down the pipeline and its progress to the client, if the client asked for it. Every step is with the
/// transport before the result is: the two go out on ways of their own. The path of a call lies in a place of its own,
/// because the protocol library moves what it is given several times before it begins.
async fn pass(door: &Door, call: Call, context: &RequestContext<RoleServer>) -> Result<Released, Failure> {
    let Some(token) = context.meta.get_progress_token() else {
        return Box::pin(door.pass(call, &Progress::unheard())).await;
    };
    let (progress, steps) = Progress::channel(PROGRESS_QUEUE);
    let over = Notify::new();
    let mut forwarding = pin!(forward(steps, &over, token, &context.peer, &door.guard).fuse());
    // Side by side: a client that does not take its progress must not keep the call from its time limit.
    let mut passing = Box::pin(door.pass(call, &progress));
    let result = loop {
        tokio::select! {
            biased;
            result = &mut passing => break result,
            () = &mut forwarding => {}
        }
    };
    over.notify_one();
    // A client that does not take its last steps gets its result without them.
    let _ = tokio::time::timeout(LAST_STEPS, forwarding).await;
    result
}

/// Ends when the call is over and what it had reported by then is with the transport.
async fn forward(
    mut steps: Receiver<Step>,
    over: &Notify,
    token: ProgressToken,
    peer: &Peer<RoleServer>,
    guard: &Guard,
) {
    loop {
        let step = tokio::select! {
            biased;
            // A tool that was called off may still hold the other end.
            () = over.notified() => {
                steps.close();
                continue;
            }
            step = steps.recv() => step,
        };
        let Some(Step { done, total, message, leases }) = step else { return };
        let message = guard.redact_message(&message, &leases);
        let mut params = ProgressNotificationParam::new(token.clone(), done).with_message(message);
        params.total = total;
        // A client that is gone is noticed by the transport, which then cancels the call.
        let _ = peer.notify_progress(params).await;
    }
}

fn success(released: Released) -> CallToolResult {
    let notices = released.notices();
    let (structured, text) = released.into_parts();
    // Not `structured`, which would write the whole out once more, as a text that is not the capped one.
    let content = std::iter::once(text).chain(notices).map(ContentBlock::text).collect();
    let mut result = CallToolResult::success(content);
    result.structured_content = Some(structured);
    result
}

pub(super) fn modern(context: &RequestContext<RoleServer>) -> bool {
    context.protocol_version().is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
}

fn implementation() -> Implementation {
    Implementation::new("doorward", env!("CARGO_PKG_VERSION")).with_title("Doorward")
}

fn server_info() -> MetaObject {
    let mut meta = MetaObject::default();
    let info: Value = json!({ "name": "doorward", "title": "Doorward", "version": env!("CARGO_PKG_VERSION") });
    meta.0.insert("io.modelcontextprotocol/serverInfo".to_owned(), info);
    meta
}

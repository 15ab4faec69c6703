//! TEST ONLY: the tools, prompts and resources that the conformance suite asks for, and the sessions that its scenarios of
//! 2025-11-25 need. They stand behind the same TLS, tokens and checks as everything else; the product's own tools stay
//! with the pipeline. What they are is data, in `tests/conformance/fixtures.json`.

#![expect(deprecated, reason = "2026-07-28 deprecates logging, and the suite asks for it")]

#[cfg(not(debug_assertions))]
compile_error!("the feature `conformance` is for tests: a build that is published cannot have it");

mod book;
mod play;
mod rounds;

use std::borrow::Cow;
use std::sync::Arc;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CompleteRequestParams, CompleteResult, CustomRequest, CustomResult,
    GetPromptRequestParams, GetPromptResponse, ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult,
    ListToolsResult, PaginatedRequestParams, ProtocolVersion, ReadResourceRequestParams, ReadResourceResponse,
    ServerConfig, SetLevelRequestMethod, SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter, Tool,
    UnsubscribeRequestParams,
};
use rmcp::service::{RequestContext, SubscriptionContext};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Map, Value, json};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::handler::{Entrance, Handler, modern};

use book::{Book, Entry, book, complete, fill, wire};
use play::Played;

/// Changes of a list that a slow listener may be behind; the oldest are lost to it.
const CHANGES: usize = 16;

/// The protocol layer of the test build.
pub(super) type Service = StreamableHttpService<Fixtures, LocalSessionManager>;

/// Says so in the log, for nobody should find this build where it does not belong.
pub(super) fn service(config: StreamableHttpServerConfig) -> Service {
    tracing::warn!("this build answers fixtures and keeps sessions: it is for conformance tests and nothing else");
    let fixtures = Fixtures { real: Handler::new(Entrance::Carried), changes: broadcast::channel(CHANGES).0 };
    StreamableHttpService::new(
        move || Ok(fixtures.clone()),
        Arc::new(LocalSessionManager::default()),
        config.with_legacy_session_mode(true),
    )
}

/// Whether the body is an answer of the client's.
pub(super) fn is_answer(body: &[u8]) -> bool {
    let message: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    !message.contains_key("method") && (message.contains_key("result") || message.contains_key("error"))
}

/// Answers what the book has, and leaves the rest to the product.
#[derive(Clone)]
pub(super) struct Fixtures {
    real: Handler,
    /// Names of lists that have changed.
    changes: broadcast::Sender<String>,
}

impl ServerHandler for Fixtures {
    fn get_info(&self) -> ServerConfig {
        let capabilities = book().and_then(|book| wire(book.capabilities.clone())).unwrap_or_default();
        let mut info = self.real.get_info();
        info.capabilities = capabilities;
        info
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        self.real.supported_protocol_versions()
    }

    /// The product's tools first.
    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut result = self.real.list_tools(request, context).await?;
        result.tools.extend(book()?.tools.iter().map(Entry::listing).collect::<Result<Vec<Tool>, _>>()?);
        Ok(result)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        book().ok()?.tools.iter().find(|entry| entry.is("name", name))?.listing().ok()
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(entry) = book()?.tools.iter().find(|entry| entry.is("name", &request.name)) else {
            return self.real.call_tool(request, context).await;
        };
        let arguments = request.arguments.unwrap_or_default();
        let turn = rounds::Turn { responses: request.input_responses, state: request.request_state };
        match play::play(entry, arguments, turn, &context, &self.changes).await? {
            Played::Result(result) => Ok(CallToolResponse::Complete(complete(result)?)),
            Played::Ask(ask) => Ok(ask.into()),
        }
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult::with_all_items(Book::listings(&book()?.prompts)?))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let Some(entry) = book()?.prompts.iter().find(|entry| entry.is("name", &request.name)) else {
            return Err(ErrorData::invalid_params("there is no such prompt", None));
        };
        let arguments = request.arguments.unwrap_or_default();
        let turn = rounds::Turn { responses: request.input_responses, state: request.request_state };
        match play::play(entry, arguments, turn, &context, &self.changes).await? {
            Played::Result(result) => Ok(GetPromptResponse::Complete(complete(result)?)),
            Played::Ask(ask) => Ok(ask.into()),
        }
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(Book::listings(&book()?.resources)?))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::with_all_items(Book::listings(&book()?.templates)?))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let Some((entry, parts)) = book()?.resource(&request.uri) else {
            return Err(ErrorData::resource_not_found(
                "there is no such resource",
                Some(json!({ "uri": request.uri })),
            ));
        };
        Ok(ReadResourceResponse::Complete(complete(fill(&entry.does.result, &parts))?))
    }

    async fn complete(
        &self,
        _: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        complete(book()?.completion.clone())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, subscription: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.changes.subscribe();
        loop {
            let list = tokio::select! {
                () = subscription.cancelled() => return Ok(()),
                change = changes.recv() => match change {
                    Ok(list) => list,
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => return Ok(()),
                },
            };
            let change = wire(json!({ "method": format!("notifications/{list}/list_changed") }))?;
            // One that was not subscribed to is refused here, which is the point.
            let _ = subscription.sink().send(change).await;
        }
    }

    async fn set_level(&self, _: SetLevelRequestParams, context: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        if modern(&context) { Err(ErrorData::method_not_found::<SetLevelRequestMethod>()) } else { Ok(()) }
    }

    async fn subscribe(&self, _: SubscribeRequestParams, _: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        self.real.on_custom_request(request, context).await
    }

    async fn unsubscribe(&self, _: UnsubscribeRequestParams, _: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        Ok(())
    }
}

//! An app's own backend, which logs its users in at Sambad: `backend SAMBAD_URL LISTEN_ADDRESS`.
#![expect(clippy::print_stdout, reason = "people wait for the line that says that it listens")]

use std::{env, fs};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use sambad_client::{Client, NewUser, Token};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Login {
    phone: String,
    code: String,
}

type Reply = (StatusCode, Json<Value>);

async fn log_in(State(sambad): State<Client>, Json(login): Json<Login>) -> Result<Json<Value>, Reply> {
    // Your own check that the phone is theirs: here, a code that you sent to it.
    if login.code != "123456" {
        return Err((StatusCode::FORBIDDEN, Json(json!({"error": "wrong code"}))));
    }
    let failed = |error: String| (StatusCode::BAD_GATEWAY, Json(json!({"error": error})));
    let answer = sambad.login(&NewUser::new(login.phone)).await.map_err(|error| failed(error.to_string()))?;
    let tokens = answer.value.tokens.ok_or_else(|| failed("Sambad runs without --auth token".into()))?;
    Ok(Json(json!({
        "id": answer.value.user.id,
        "token": tokens.token,
        "token_expires_at": tokens.token_expires_at,
        "refresh_token": tokens.refresh_token,
    })))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let usage = "usage: backend SAMBAD_URL LISTEN_ADDRESS";
    let url = env::args().nth(1).ok_or(usage)?;
    let address = env::args().nth(2).ok_or(usage)?;
    let service_token = Token::new(fs::read_to_string("service.token")?.trim())?;

    let sambad = Client::new(&url)?.with_token(service_token);
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("backend listening on {address}");
    axum::serve(listener, Router::new().route("/login", post(log_in)).with_state(sambad)).await?;
    Ok(())
}

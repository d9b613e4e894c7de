//! What requests may say beyond what a derive can: fields that stand in for others, and examples.

use serde_json::{Value, json};

use super::schema::{USER_PATTERN, WRITTEN_PHONE_PATTERN};

/// Name, summary and value of an example.
type Example = (&'static str, &'static str, &'static str);

/// Bodies that work in this order on a new server, by operation. Pages show them in the order of their names.
const EXAMPLES: [(&str, &[Example]); 7] = [
    (
        "login",
        &[
            (
                "asha",
                "A national number and its country code",
                r#"{"mobileNumber":"9876543210","countryCode":"+91","name":"Asha"}"#,
            ),
            (
                "ravi",
                "An international number; the examples of other requests need both users",
                r#"{"phone":"+919876543211","name":"Ravi"}"#,
            ),
        ],
    ),
    (
        "addContact",
        &[
            ("byPhone", "By phone number", r#"{"userId":"+919876543210","phone":"+919876543211"}"#),
            ("named", "With a name", r#"{"userId":"+919876543211","contactUserId":"+919876543210","name":"Asha from work"}"#),
        ],
    ),
    (
        "sendMessage",
        &[
            ("text", "A text", r#"{"fromUserId":"+919876543210","toUserId":"+919876543211","content":"Hello!"}"#),
            (
                "to_national",
                "To a national number of the sender's country",
                r#"{"fromUserId":"+919876543211","toUserId":"9876543210","content":"{\"lat\":19.07}","type":"location"}"#,
            ),
        ],
    ),
    (
        "syncContacts",
        &[(
            "book",
            "Two entries",
            r#"{"contacts":[{"name":"Ravi","phone":"098765 43211"},{"name":"Meera","phone":"+919876543212"}]}"#,
        )],
    ),
    ("refresh", &[("token", "A refresh token", r#"{"refresh_token":"the refresh_token of the login"}"#)]),
    ("loginAdmin", &[("account", "An admin's account", r#"{"email":"ops@example.com","password":"the password"}"#)]),
    ("showUser", &[("id", "", r#""+919876543210""#)]),
];

/// Adds the examples of an operation: of its body, or of the parameter that they name.
pub(super) fn add_examples(operation: &mut Value) {
    let id = operation["operationId"].as_str().unwrap_or_default();
    let Some((_, examples)) = EXAMPLES.iter().find(|(of, _)| *of == id) else { return };
    for (name, summary, text) in *examples {
        let value: Value = serde_json::from_str(text).expect("examples are JSON");
        if let Some(body) = operation.pointer_mut("/requestBody/content/application~1json") {
            body["examples"][name] = json!({ "summary": summary, "value": value });
        } else {
            let parameters = operation["parameters"].as_array_mut().into_iter().flatten();
            parameters.filter(|parameter| parameter["name"] == *name).for_each(|parameter| parameter["example"] = value.clone());
        }
    }
}

/// A field that counts as absent: null or blank.
fn absent() -> Value {
    json!({ "type": ["string", "null"], "pattern": r"^\s*$" })
}

/// The field `first`, or where it is absent the field `other`.
fn either((first, pattern): (&str, &str), (other, pattern_of_other): (&str, &str)) -> Value {
    let present = |pattern| json!({ "type": ["string", "integer"], "pattern": pattern });
    json!([
        { "required": [first], "properties": { first: present(pattern) } },
        { "required": [other], "properties": { first: absent(), other: present(pattern_of_other) } },
    ])
}

/// Adds which field is read only if another is absent, which a derive cannot express. A field that is not read may hold anything.
pub(super) fn add_alternatives(schemas: &mut Value) {
    schemas["Login"]["anyOf"] = either(("phone", WRITTEN_PHONE_PATTERN), ("mobileNumber", WRITTEN_PHONE_PATTERN));
    let entry = &mut schemas["AddressBook"]["properties"]["contacts"]["items"];
    *entry = json!({ "anyOf": [entry.take(), { "description": "Any other value matches no user." }] });
    schemas["AddContact"]["anyOf"] = either(("contactUserId", USER_PATTERN), ("phone", WRITTEN_PHONE_PATTERN));
    let message = &mut schemas["SendMessage"];
    ["fromId", "toId"].iter().for_each(|older| message["properties"][*older]["deprecated"] = true.into());
    message["allOf"] = [("fromUserId", "fromId"), ("toUserId", "toId")]
        .map(|(name, older)| json!({ "anyOf": either((name, USER_PATTERN), (older, USER_PATTERN)) }))
        .into_iter()
        .collect();
}

//! The pictures in `docs/images`, made from a server with something to show.
//!
//! `SAMBAD_UPDATE_SCREENSHOTS=1` writes the files anew.

use std::path::PathBuf;

use sambad_server::testing::TestServer;
use serde_json::json;

use crate::page::Page;
use crate::people::{People, Somebody};

/// Name, scheme, width and height in CSS pixels, pixels for each.
const PICTURES: [(&str, &str, u32, u32, u32); 3] =
    [("light", "light", 1440, 960, 1), ("dark", "dark", 1440, 960, 1), ("phone", "light", 390, 844, 2)];

const CAST: [(&str, &str); 16] = [
    ("+919861803397", "Asha Sharma"),
    ("+919823606794", "Ravi Iyer"),
    ("+5511961803397", "João Silva"),
    ("+4915161803397", "Jürgen Müller"),
    ("+819061803397", "Haruka Satō"),
    ("+5511923606794", "Beatriz Souza"),
    ("+201061803397", "ليلى حسن"),
    ("+12125550100", "Emma Johnson"),
    ("+919885410191", "Priya Patel"),
    ("+33661803397", "Chloé Moreau"),
    ("+2348061803397", "Chinwe Okafor"),
    ("+34661803397", "Lucía García"),
    ("+905361803397", "Ayşe Yılmaz"),
    ("+447700900397", "Oliver Smith"),
    ("+525561803397", "Ximena Hernández"),
    ("+6281261803397", "Siti Santoso"),
];
const LINES: [&str; 8] = [
    "hey, are you around?",
    "namaste! kaise ho?",
    "oi, tudo bem?",
    "Stehe noch im Stau",
    "Διάλειμμα για καφέ;",
    "coffee at four? ☕",
    "السلام عليكم، كيف حالك؟",
    "À tout à l'heure !",
];

/// Goal: the pictures of the documentation can be made at any time, and show a living page. Method: sixteen people who add each other
/// and chat before and after the page is opened; each picture has its size, many colours, and is written if that is asked for.
#[tokio::test]
async fn pictures_show_a_living_page() {
    let server = TestServer::start().await;
    let mut people = People::at(server.url());
    let mut users = Vec::new();
    for (phone, name) in CAST {
        users.push(people.user(phone, name).await);
    }
    chat(&mut people, &users, 3).await;
    let page = Page::open(server.url()).await;
    for ((name, scheme, width, height, scale), step) in PICTURES.into_iter().zip([5, 7, 11]) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": scale, "mobile": name == "phone" });
        page.browser.cdp("Emulation.setDeviceMetricsOverride", metrics).await;
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        page.browser.cdp("Emulation.setEmulatedMedia", media).await;
        page.js("scrollTo(0, 0)").await;
        chat(&mut people, &users, step).await;
        page.shows(people.head).await;
        page.sessions(1).await;
        page.stands_still().await;
        assert_eq!(page.js("document.documentElement.scrollWidth > innerWidth").await, false, "{name}: wider than its window");
        let picture = page.browser.client.screenshot().await.unwrap();
        let colours = colours(&page, &picture, [width * scale, height * scale]).await;
        println!("{name}: {} KiB, {colours} colours", picture.len() >> 10);
        assert!(colours > 200, "{name} shows {colours} colours");
        if std::env::var_os("SAMBAD_UPDATE_SCREENSHOTS").is_some_and(|value| value == "1") {
            let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/images");
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(format!("dashboard-{name}.png")), &picture).unwrap();
        }
    }
    page.finish().await;
    server.stop().await;
}

async fn chat(people: &mut People, users: &[Somebody], step: usize) {
    for n in 0..users.len() {
        let (one, other) = (users[n], users[(n + step) % users.len()]);
        if n % 3 == 0 {
            people.contact(one, other).await;
        }
        people.message(one, other, LINES[n % LINES.len()]).await;
        people.message(other, one, LINES[(n + step) % LINES.len()]).await;
    }
}

/// Different colours of a PNG, which must have this size: counted by the browser, in a window without the page's policy.
async fn colours(page: &Page, png: &[u8], size: [u32; 2]) -> u64 {
    let here = page.browser.client.window().await.unwrap();
    let blank = page.browser.client.new_window(true).await.unwrap().handle;
    page.switch(&blank).await;
    let script = "const [bytes, done] = arguments;
        const picture = new Blob([new Uint8Array(bytes)], { type: 'image/png' });
        createImageBitmap(picture).then((bitmap) => {
            const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
            const context = canvas.getContext('2d');
            context.drawImage(bitmap, 0, 0);
            const pixels = new Uint32Array(context.getImageData(0, 0, bitmap.width, bitmap.height).data.buffer);
            done([bitmap.width, bitmap.height, new Set(pixels).size]);
        }, (error) => done(String(error)));";
    let counted = page.browser.client.execute_async(script, vec![json!(png)]).await.unwrap();
    page.browser.client.close_window().await.unwrap();
    page.switch(&here).await;
    let [width, height, colours]: [u64; 3] = serde_json::from_value(counted).unwrap();
    assert_eq!([width, height], size.map(u64::from));
    colours
}

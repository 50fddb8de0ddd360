//! The page, in a real browser.

use browser_test::Error;

use crate::client::Server;

/// A number that the page shows.
fn number(id: &str) -> String {
    format!("Number(document.getElementById('{id}').textContent)")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_the_world_and_connects_again() -> Result<(), Error> {
    let Some(browser) = browser_test::start().await else { return Ok(()) };
    let server = Server::start("127.0.0.1:0".parse()?);
    let (address, seen) = (server.address, Default::default());
    let bots = game::bots::start(address, 100, 0, &seen);
    browser.client().set_window_size(1000, 900).await?;
    browser.client().goto(&format!("http://{address}/")).await?;
    browser.until("document.getElementById('view').width == 600", "there is a view").await?;
    browser.until(&format!("{} > 100", number("players")), "it sees the bots and itself").await?;
    browser.until(&format!("{} > 40", number("ticks")), "the ticks are shown").await?;
    browser.until(&format!("{} > 5", number("updates")), "frames are shown").await?;
    browser.until("document.getElementById('figures').rows.length > 3", "the figures").await?;
    // For the picture in README.md.
    if let Some(path) = std::env::var_os("SCREENSHOT") {
        browser.screenshot(path).await?;
    }

    // It steers by the keys.
    let place = "now.entities.get(now.id)[0]";
    browser.client().execute(&format!("window.started = {place}"), Vec::new()).await?;
    let x = "now.entities.get(now.id)[0] < 1200 ? 'ArrowRight' : 'ArrowLeft'";
    let press = format!("dispatchEvent(new KeyboardEvent('keydown', {{ key: {x} }}))");
    browser.client().execute(&press, Vec::new()).await?;
    browser.until(&format!("Math.abs({place} - started) > 60"), "its player moves").await?;

    server.stop().await;
    let status = "document.getElementById('status').textContent";
    browser.until(&format!("{status} != 'connected'"), "it notices the end").await?;
    let server = Server::start(address);
    browser.until(&format!("{status} == 'connected'"), "it has connected again").await?;
    browser.until(&format!("{} > 100", number("players")), "all are back").await?;
    browser.until(&format!("{place} > 0"), "it plays again").await?;
    drop(bots);
    server.stop().await;
    Ok(())
}

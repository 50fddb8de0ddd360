//! The page in a real browser.

use browser_test::Error;

use crate::{Program, free_port, items};

#[tokio::test]
async fn the_page_is_alive_and_connects_again() -> Result<(), Error> {
    let Some(browser) = browser_test::start().await else { return Ok(()) };
    let port = free_port();
    let program = Program::start(&["--rate", "5000"], port);
    assert!(items(port).next().is_some());
    browser.client().goto(&format!("http://127.0.0.1:{port}")).await?;
    let connected = "$('link').textContent === 'connected'";
    let drawn = "['prices', 'rates', 'shares'].every(id => $(id).querySelector('canvas') \
                 && charts[id].data[0].length > 2)";
    browser.until(connected, "the page is connected").await?;
    browser.until("$('stages').children.length === 4", "four stages").await?;
    browser.until(drawn, "the charts have points").await?;
    let total = "Number($('total').textContent.replaceAll(',', ''))";
    browser.until(&format!("(window.seen = {total}) > 0"), "trades are counted").await?;
    browser.until(&format!("{total} > window.seen"), "the count grows").await?;

    assert!(program.end());
    browser.until("document.body.classList.contains('off')", "the page says it").await?;
    let program = Program::start(&["--rate", "5000"], port);
    browser.until(connected, "the page has connected again").await?;
    browser.until(drawn, "the charts have points again").await?;
    assert!(program.end());
    Ok(())
}

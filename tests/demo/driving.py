"""What a reader does with the page in a browser."""


def open_tab(page, name):
    """Choose a tab by its name; where it does not fit it stands behind a button of Gradio's."""
    page.get_by_role("tab").first.wait_for()
    tab = page.get_by_role("tab", name=name, exact=True)
    if not tab.is_visible():
        page.locator(".overflow-menu > button").click()
        tab = page.locator(".overflow-dropdown button", has_text=name)
    tab.click()

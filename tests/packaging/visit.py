# SPDX-License-Identifier: ISC
"""usage: visit.py URL PASSWORD COMMANDS [SHOTS]    (by check-hosting)

A visitor of the bundle's page, in Chromium on a small screen: signs in,
restores a photo, and watches it. While the job waits for cron, COMMANDS, a
shell script that publishes a progress of 40 for YOUR-JOB, are run, once their
job is known. With SHOTS, a folder, screenshots are kept there.
"""

import os
import subprocess
import sys
import time

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE_S = 150  # cron comes each minute


def start_browser():
    """Chromium as it is in a container: without a sandbox of its own."""
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage",
                 "--window-size=412,800"):
        options.add_argument(flag)
    return webdriver.Chrome(
        service=Service("/usr/bin/chromedriver"), options=options
    )


class Visitor:
    """One tab and what is done in it."""

    def __init__(self, browser, shots):
        self.browser = browser
        self.shots = shots

    def element(self, name):
        """By its id."""
        return self.browser.find_element(By.ID, name)

    def wait(self, condition, what):
        """Until it is so; `what` is the complaint."""
        said = ""
        try:
            WebDriverWait(self.browser, PATIENCE_S, 0.1).until(lambda _: condition())
        except Exception:
            said = self.browser.find_element(By.TAG_NAME, "main").text
            raise SystemExit(f"waited in vain for: {what}\n{said}") from None

    def shot(self, name):
        """A picture of the page."""
        if self.shots:
            self.browser.save_screenshot(os.path.join(self.shots, f"{name}.png"))

    def sign_in(self, url, password):
        """Gives the password; first a wrong one."""
        self.browser.get(url)
        self.shot("sign-in")
        self.element("password").send_keys("wrong\n")
        self.wait(lambda: "not the password" in self.browser.page_source, "a refusal")
        self.element("password").send_keys(password + "\n")
        self.wait(lambda: self.browser.find_elements(By.ID, "start"), "the form")

    def status(self):
        """What the page says of its job."""
        return self.element("status").text

    def restore(self, commands):
        """Starts a job and follows it to its end; seconds of both."""
        start = time.monotonic()
        self.element("start").click()
        self.wait(lambda: self.status().startswith("Waiting"), "the job to be queued")
        queued = time.monotonic() - start
        with open(commands, encoding="utf-8") as file:
            script = file.read().replace("YOUR-JOB", self.element("id").text)
        with open(commands, "w", encoding="utf-8") as file:
            file.write(script)
        subprocess.run(["bash", "-e", commands], check=True, stdout=subprocess.DEVNULL)
        bar = self.element("bar")
        self.wait(lambda: bar.get_attribute("value") == "40", "a bar at 40")
        self.shot("waits")
        self.wait(lambda: self.status() == "Restored", "`completed` in the page")
        self.shot("restored")
        return queued, time.monotonic() - start

    def cancel(self):
        """Starts another and cancels it."""
        self.element("start").click()
        self.wait(lambda: self.element("cancel").is_displayed(), "another job")
        self.wait(lambda: self.status().startswith("Waiting"), "it to be queued")
        self.element("cancel").click()
        self.wait(lambda: self.status() == "Cancelled", "its end")
        self.shot("cancelled")


def main():
    """Prints what was seen."""
    url, password, commands, *shots = sys.argv[1:]
    browser = start_browser()
    try:
        visitor = Visitor(browser, shots[0] if shots else None)
        visitor.sign_in(url, password)
        queued, restored = visitor.restore(commands)
        print(f"  in the page: queued after {queued:.1f} s, completed after {restored:.1f} s")
        browser.refresh()
        visitor.wait(lambda: visitor.status() == "Restored", "the job after a reload")
        visitor.cancel()
        print("  a reload goes on with the job; another one is cancelled")
    finally:
        browser.quit()


main()

"""Reports, parsed by html5lib and opened in a headless Chromium: report.py TACHO LOG OTHER FOLDER

LOG holds hostile text (hostile.jsonl), holds, a kill and an alarm; OTHER is another log. The page has to be free of parse errors, load nothing,
say nothing on the console, check itself, and fail its own check when it was tampered with; with JavaScript off it has to say that nothing was
checked. Pictures stay in FOLDER. Without html5lib or a browser their part is left out, and the last line says so.
"""

import base64
import hashlib
import html
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import browser

READY = "!/Checking|JavaScript is off/.test(document.getElementById('here').textContent)"


def make(tacho, log, framework, out):
    run = [tacho, "--log", str(log), "export", "report", "--framework", framework, str(out), "--json"]
    done = subprocess.run(run, capture_output=True, text=True)
    if done.returncode not in (0, 1) or not out.exists():
        sys.exit(f"no report: {done.stderr}")
    return json.loads(done.stdout)


class Seen(HTMLParser):
    """What a page is made of."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.styles, self.inside = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = (tag, dict(attrs)) if tag in ("script", "style") else None

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside and self.inside[0] == "style":
            self.styles.append(data)
        elif self.inside and "type" not in self.inside[1]:
            self.scripts.append(data)


def need(good, what):
    if not good:
        sys.exit(what)


def at_rest(text):
    """The page as it lies there."""
    seen = Seen(text)
    by = lambda tag: [attrs for name, attrs in seen.tags if name == tag]
    need(len(seen.scripts) == 1 and len(seen.styles) == 1, "another script or style than ours")
    policy = next(attrs["content"] for attrs in by("meta") if attrs.get("http-equiv") == "Content-Security-Policy")
    for data, name in ((seen.scripts[0], "script-src"), (seen.styles[0], "style-src")):
        hashed = base64.b64encode(hashlib.sha256(data.encode()).digest()).decode()
        need(f"{name} 'sha256-{hashed}'" in policy, f"{name} is not the hash of what stands there")
    need("default-src 'none'" in policy and "unsafe" not in policy, "a loose policy")
    for tag, attrs in seen.tags:
        need(tag not in ("img", "iframe", "object", "embed", "link", "base"), f"a <{tag}>")
        need(not any(name.startswith("on") or name in ("style", "src") for name in attrs), f"<{tag}> with {attrs}")
    ids = [attrs["id"] for _, attrs in seen.tags if "id" in attrs]
    need(len(ids) == len(set(ids)), "an id stands twice")
    labels = {attrs.get("for") for attrs in by("label")}
    need(by("textarea") and all(attrs["id"] in labels for attrs in by("textarea")), "a field without a label")
    need(by("th") and all("scope" in attrs for attrs in by("th")), "a table's head without scope")
    need(len(by("caption")) == len(by("table")), "a table without a caption")
    for attrs in by("a"):
        if attrs.get("href", "").startswith("#"):
            need(attrs["href"][1:] in ids, f"a link to nowhere: {attrs['href']}")


def taken_out(path, text):
    """Takes the evidence out as the page says."""
    shown = re.search(r'<pre class="code"[^>]*>\n(.*?)</pre>', text, re.DOTALL).group(1)
    command = html.unescape(shown).splitlines()[0].replace("REPORT.html", str(path)).replace("evidence.tacho", "/dev/stdout")
    done = subprocess.run(["bash", "-c", command], capture_output=True)
    held = text[text.index('id="evidence">') + 14 :].partition("</script>")[0]
    need(done.returncode == 0 and done.stdout == base64.b64decode(held) and held.strip(), f"the command on the page: {done.stderr.decode()}")


def tampered(text, other):
    """Reports that were tampered with, by what was done."""
    start = text.index('id="evidence">') + 15

    def flipped(at):
        swap = "B" if text[at] != "B" else "C"
        return text[:at] + swap + text[at + 1 :]

    end = text.index("</script>", start)
    for part in (0.02, 0.3, 0.6, 0.97):
        yield f"a character of the evidence at {part:.0%}", flipped(start + int((end - start) * part) // 129 * 129 + 7)
    yield "the evidence cut off", text[: start + 129 * 4] + text[end:]
    yield "no evidence", text[:start] + text[end:]
    yield "another word in a quotation", text.replace("harmless ", "harmful ", 1)
    yield "another line in a kept difference", text.replace("alert(2)", "alert(3)", 1)
    yield "another kind of record", re.sub(r'(data-seq="\d+" data-kind=)"10"', r'\1"11"', text, count=1)
    yield "another time", re.sub(r'(<time data-of="\d+" data-ns="\d+" datetime="[^"]*">)\d{4}', r"\g<1>1999", text, count=1)
    begin = other.index('id="evidence">') + 15
    yield "the evidence of another log", text[:start] + other[begin : other.index("</script>", begin)] + text[end:]


def in_browser(path, text, other, folder):
    checked = 0
    with browser.Browser() as chromium:
        page = chromium.page()
        for name, width, height, dark in (("desktop", 1280, 900, False), ("dark", 1280, 900, True), ("phone", 390, 844, False)):
            page.size(width, height, dark)
            page.open(path)
            page.until(READY)
            said = page.eval("document.getElementById('here').innerText")
            need("It holds" in said and re.search(r"[1-9]\d* signatures", said), f"{name}: {said}")
            need(page.told() == ([], []), f"{name}: {page.told()}")
            need(page.eval("document.documentElement.scrollWidth <= innerWidth"), f"{name}: wider than the screen")
            need(page.eval("document.querySelectorAll('.checked').length === document.querySelectorAll('[data-seq]').length"), name)
            page.picture(folder / f"{name}.png", whole=True)
            checked += 1
        first = page.eval("document.querySelector('#verdict .verdict').textContent")
        need(page.eval("document.querySelector('main > section').id") == "verdict" and first, "the verdict is not first")
        # By keyboard alone: the first stop leads to the verdict, all are to be seen, and a closed table opens.
        page.open(path)
        page.until(READY)
        page.key("Tab", 9)
        need(page.eval("document.activeElement.className") == "skip", "the first stop is another")
        page.key("Enter", 13)
        page.until("location.hash === '#verdict'")
        stops = set()
        for _ in range(400):
            page.key("Tab", 9)
            name, wide = page.eval("(e => [e.tagName + '#' + e.id + ' ' + e.className + ' ' + (e.getAttribute('href') || ''), e.getBoundingClientRect().width])(document.activeElement)")
            need(wide > 0, f"a stop that is not to be seen: {name}")
            if name.startswith("BODY"):
                break
            if name.startswith("SUMMARY"):
                page.key("Enter", 13)
                page.until("document.querySelector('details').open")
            stops.add(name.split()[0].partition("#")[0])
        need({"A", "DIV", "PRE", "TEXTAREA", "SUMMARY", "BUTTON"} <= stops, f"stops by keyboard: {stops}")
        checked += 1
        # On paper.
        page.size(794, 1123)
        page.open(path)
        page.until(READY)
        page.pdf(folder / "report.pdf")
        need((folder / "report.pdf").read_bytes().count(b"/Type /Page\n") > 1, "nothing was printed")
        page.ask("Emulation.setEmulatedMedia", media="print", features=[])
        page.picture(folder / "print.png", whole=True)
        need(page.eval("document.documentElement.scrollWidth <= innerWidth"), "wider than the paper")
        page.ask("Emulation.setEmulatedMedia", media="", features=[])
        checked += 1
        for what, bad in tampered(text, other):
            need(bad != text, f"nothing was changed: {what}")
            (folder / "tampered.html").write_text(bad)
            page.open(folder / "tampered.html")
            page.until(READY)
            said = page.eval("document.getElementById('here').innerText")
            need("FAILED" in said and "It holds" not in said, f"{what} was taken: {said}")
            checked += 1
        # A browser without Ed25519, and one without WebCrypto, say what that means.
        for less, says in (
            ("const real = crypto.subtle.importKey.bind(crypto.subtle); SubtleCrypto.prototype.importKey = (f, k, a, ...r) => a.name === 'Ed25519' "
             "? Promise.reject(new DOMException('', 'NotSupportedError')) : real(f, k, a, ...r);", "any signature: this browser has no Ed25519"),
            ("Object.defineProperty(crypto, 'subtle', { value: undefined });", "Nothing was checked again here"),
        ):  # fmt: skip
            added = page.ask("Page.addScriptToEvaluateOnNewDocument", source=less)["identifier"]
            page.open(path)
            page.until(READY)
            said = page.eval("document.getElementById('here').innerText")
            need(says in said and "signed" not in said.partition("not checked here")[0], f"{less}: {said}")
            page.ask("Page.removeScriptToEvaluateOnNewDocument", identifier=added)
            checked += 1
        page.script(False)
        page.open(path)
        said = page.eval("document.getElementById('here').innerText")
        need("Nothing was checked again here" in said and "It holds" not in said, f"JavaScript off: {said}")
        page.picture(folder / "no-script.png")
        checked += 1
    return checked


def main(tacho, log, other, folder):
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    parsed, lines = 0, []
    for framework in ("eu-ai-act", "nist-800-53"):
        made = make(tacho, log, framework, folder / f"{framework}.html")
        text = (folder / f"{framework}.html").read_text()
        at_rest(text)
        taken_out(folder / f"{framework}.html", text)
        need(made["mutations"]["shown"] >= 2 and made["controls"]["not_by_this_tool"] >= 1, f"{made}")
        try:
            import html5lib

            html5lib.HTMLParser(strict=True).parse(text)
            for bad in (text.replace("</table>", "", 1), text.replace("&lt;/script&gt;", "</script>", 1)):
                try:
                    html5lib.HTMLParser(strict=True).parse(bad)
                except html5lib.html5parser.ParseError:
                    continue
                sys.exit("html5lib took a page that is broken")
            parsed += 1
        except ImportError:
            pass
    make(tacho, other, "eu-ai-act", folder / "other.html")
    text, foreign = ((folder / name).read_text() for name in ("eu-ai-act.html", "other.html"))
    lines.append(f"{parsed} pages without a parse error" if parsed else "html5lib is not there")
    if browser.found():
        lines.append(f"{in_browser(folder / 'eu-ai-act.html', text, foreign, folder)} looks in {Path(browser.found()).name}")
    else:
        lines.append("there is no browser")
    print("; ".join(lines))


if __name__ == "__main__":
    main(*sys.argv[1:5])

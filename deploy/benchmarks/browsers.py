"""The header lines of browsers, no two of which are alike."""

from __future__ import annotations

from random import Random

COUNT = 5000

# Formats are left out of `Accept` that the gateway would encode: nginx shows one file to everybody.
_LINES = """\
Connection: keep-alive
sec-ch-ua-platform: "{platform}"
User-Agent: Mozilla/5.0 ({device}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.{build}.{patch} Safari/53
sec-ch-ua: "Chromium";v="{version}", "Google Chrome";v="{version}", "Not/A)Brand";v="8"
sec-ch-ua-mobile: ?0
DNT: 1
Accept: image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5
Sec-Fetch-Site: same-origin
Sec-Fetch-Mode: no-cors
Sec-Fetch-Dest: image
Referer: https://cloud.example.com/home?path=cloudreve%3A%2F%2Fmy%2F{folder}
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: {language},en;q=0.{weight}
Cookie: _ga=GA1.1.{visit}; theme={theme}; _gid={visitor}
Priority: i
Sec-GPC: 1
X-Requested-By: {visitor}
"""
_PROXY = """\
X-Forwarded-For: {address}
X-Forwarded-Proto: https
X-Forwarded-Host: cloud.example.com
X-Real-IP: {address}
"""
_PLATFORMS = {
    "Windows": "Windows NT 10.0; Win64; x64",
    "macOS": "Macintosh; Intel Mac OS X 10_15_7",
    "Linux": "X11; Linux x86_64",
}


def header_lines(*, is_proxied: bool, cookie: str = "") -> list[str]:
    """Write the lines of each browser, `Host` left out; `is_proxied` adds what a proxy says, `cookie` one of ours."""
    lines = _LINES.replace("Cookie: ", f"Cookie: {cookie}; ") if cookie else _LINES
    template = lines + (_PROXY if is_proxied else "")
    return [_of_one(template, Random(number)) for number in range(COUNT)]  # noqa: S311 - not a secret


def _of_one(template: str, random: Random) -> str:
    platform = random.choice([*_PLATFORMS])
    return template.format(
        platform=platform,
        device=_PLATFORMS[platform],
        version=random.randrange(100, 160),
        build=random.randrange(1000, 9999),
        patch=random.randrange(255),
        folder=f"{random.randrange(10**12):012x}",
        language=random.choice(["de-DE,de", "en-GB", "fr-FR,fr", "zh-CN,zh", "ja-JP,ja", "pt-BR,pt"]),
        weight=random.randrange(5, 9),
        visit=f"{random.randrange(10**9)}.{random.randrange(10**9)}",
        visitor=f"{random.randrange(10**16):016x}",
        theme=random.choice(["dark", "light"]),
        address=f"198.51.{random.randrange(256)}.{random.randrange(256)}",
    ).replace("\n", "\r\n")

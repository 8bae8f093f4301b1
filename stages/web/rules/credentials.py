"""Finds API keys and private keys by the marks that their issuers gave them.

Issuers mark their keys so that scanners find them. Patterns of our own, because what scanners for source code
(detect-secrets) add to such marks is the entropy of quoted strings, which on manuals takes hashes and examples for
secrets, and because they go through a text line by line and rule by rule, where one look says that it has none.
"""

import re

# A literal that every key of the kind has, and the key. Bounded, so that no text makes them slow.
_KEYS = {
    "AKIA": r"AKIA[0-9A-Z]{16}",  # Amazon
    "ASIA": r"ASIA[0-9A-Z]{16}",
    "aws_secret": r"(?<=aws_secret_access_key)[\s\"':=]{1,8}[A-Za-z0-9/+]{40}",
    "AWS_SECRET": r"(?<=AWS_SECRET_ACCESS_KEY)[\s\"':=]{1,8}[A-Za-z0-9/+]{40}",
    "ecretAccessKey": r"(?<=ecretAccessKey)[\s\"':=]{1,8}[A-Za-z0-9/+]{40}",
    "AccountKey=": r"(?<=AccountKey=)[A-Za-z0-9/+]{86}==",  # Azure storage
    "AIza": r"AIza[\w-]{35}",  # Google
    "ya29.": r"ya29\.[\w-]{30,500}",
    "ghp_": r"ghp_[A-Za-z0-9]{36}",  # GitHub
    "gho_": r"gho_[A-Za-z0-9]{36}",
    "ghs_": r"ghs_[A-Za-z0-9]{36}",
    "ghu_": r"ghu_[A-Za-z0-9]{36}",
    "ghr_": r"ghr_[A-Za-z0-9]{36}",
    "github_pat_": r"github_pat_\w{82}",
    "glpat-": r"glpat-[\w-]{20,30}",  # GitLab
    "xox": r"xox[abeoprs]-[0-9A-Za-z-]{20,250}",  # Slack
    "xapp-": r"xapp-[0-9]-[A-Z0-9]{8,20}-[0-9]{8,20}-[0-9a-f]{32,128}",
    "hooks.slack.com": r"(?<=hooks\.slack\.com/services/)T\w{8,12}/B\w{8,12}/\w{24}",
    "_live_": r"[rs]k_live_[0-9A-Za-z]{24,99}",  # Stripe
    "whsec_": r"whsec_[0-9A-Za-z]{32,64}",
    "GOCSPX-": r"GOCSPX-[\w-]{28}",  # Google's sign-in
    "sk-or-v1-": r"sk-or-v1-[0-9a-f]{64}",  # OpenRouter
    "sk-": r"sk-(?=[\w-]{0,80}\d)(?=[\w-]{0,80}[A-Z])[\w-]{40,200}",  # OpenAI, Anthropic and others
    "hf_": r"hf_[A-Za-z]{34}",  # Hugging Face
    "npm_": r"npm_[A-Za-z0-9]{36}",
    "pypi-": r"pypi-AgEIcHlwaS5vcmc[\w-]{50,400}",
    "SG.": r"SG\.[\w-]{22}\.[\w-]{43}",  # SendGrid
    "shpat_": r"shpat_[0-9a-fA-F]{32}",  # Shopify
    "dop_v1_": r"dop_v1_[0-9a-f]{64}",  # DigitalOcean
    "hvs.": r"hvs\.[\w-]{24,200}",  # HashiCorp Vault
    ":AA": r"[0-9]{8,10}:AA[\w-]{33}",  # Telegram
    "eyJ": r"eyJ[\w-]{10,2000}\.eyJ[\w-]{10,4000}\.[\w-]{10,1000}",  # JSON web tokens
}
_EDGES = r"(?<![\w.-])(?:{})(?![\w-])"
_PATTERNS = {mark: re.compile(_EDGES.format(key) if not key.startswith("(?<=") else key) for mark, key in _KEYS.items()}
_PRIVATE = re.compile(
    r"-----BEGIN (?P<kind>[A-Z ]{0,20}PRIVATE KEY(?: BLOCK)?)-----"
    r"(?:(?!-----)[\s\w+/=:,.>\\-]){32,20000}-----END (?P=kind)-----"
)
HINT = "|".join([r"-----BEGIN [A-Z ]*PRIVATE KEY", *map(re.escape, _KEYS)])
"""What every text with a key matches."""


def replace(text: str) -> tuple[str, dict[str, int]]:
    """``text`` with [private_key] and [api_key] for what is one; how many there were of each."""
    text, private = _PRIVATE.subn("[private_key]", text)
    keys = 0
    for mark, pattern in _PATTERNS.items():
        if mark in text:
            text, count = pattern.subn(_replaced, text)
            keys += count
    return text, {"private_key": private, "api_key": keys}


def _replaced(key: re.Match[str]) -> str:
    """The placeholder, behind what parts a name from its value."""
    return key[0][: len(key[0]) - len(key[0].lstrip(" \t\n\"':="))] + "[api_key]"

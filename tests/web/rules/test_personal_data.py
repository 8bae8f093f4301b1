"""What identifies a person or opens an account is replaced; what only looks like it stays."""

import gc
import time
import weakref

import pytest

from stages.web.rules import personal_data
from stages.web.rules.personal_data import KINDS, PersonalData

ALL = PersonalData(
    emails=True,
    ips=True,
    phones=True,
    phone_regions=["US", "GB", "DE", "FR", "ES", "RU", "CN", "SA", "EG"],
    cards=True,
    ibans=True,
    secrets=True,
)
NONE = PersonalData(emails=False, ips=False, phones=False, phone_regions=[], cards=False, ibans=False, secrets=False)


def replaced(text: str) -> str:
    return personal_data.replace([text], ALL)[0][0]


# Put together here, so that no scanner takes this file for a leak; none of them was ever valid.
KEY = "".join(map(str, range(10))) * 2 + "abcdefghijklmnop"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to jane.doe+list@mail.example.org.", "Write to [email]."),
        ("<a_b@c-d.de>", "<[email]>"),
        (
            "{'email': 'jane@example.org'} to=jane@example.org&cc=o'hara@example.org",
            "{'email': '[email]'} to=[email]&cc=[email]",
        ),
        (
            "write to *jane@example.org*, -jane@example.org or...jane@example.service.org",
            "write to *[email]*, -[email] or...[email]",
        ),
        ("The server 93.184.216.34, port 80", "The server [ip], port 80"),
        ("at 2606:2800:220:1:248:1893:25c8:1946 now", "at [ip] now"),
        ("at 2606:2800::1946.", "at [ip]."),
        ("Ring +49 30 901820 or +1 (212) 555-2368.", "Ring [phone] or [phone]."),
        ("Tel.: 030 901820", "Tel.: [phone]"),
        ("Phone (212) 736-5000, fax 212-736-5001", "Phone [phone], fax [phone]"),
        ("Téléphone : 01 42 68 53 00.", "Téléphone : [phone]."),
        ("тел. 8 (495) 697-03-49", "тел. [phone]"),
        ("电话：010-65132277", "电话：[phone]"),
        ("联系电话：010-65132277转8001，邮箱abc@163.com欢迎来信", "联系电话：[phone]转8001，邮箱[email]欢迎来信"),
        ("服务器在93.184.216.34的机房，手机13812345678微信同号", "服务器在[ip]的机房，手机[phone]微信同号"),
        ("卡号4111111111111111，电话号码+86 10 65132277。", "卡号[card]，电话号码[phone]。"),
        ("هاتف: ٠١١٤٥٦٧٨٩٠", "هاتف: [phone]"),
        ("Telefonnummer: 030/901820, Mobil: 0171 1234567", "Telefonnummer: [phone], Mobil: [phone]"),
        ("Tel: +49 (0)40-30030\u20131000", "Tel: [phone]"),
        ("an müller@müller.de, иван@почта.рф", "an [email], [email]"),
        ("card 4111 1111 1111 1111 until 12/30", "card [card] until 12/30"),
        ("5500-0000-0000-0004; 378282246310005", "[card]; [card]"),
        ("IBAN DE89 3704 0044 0532 0130 00 AND MORE", "IBAN [iban] AND MORE"),
        ("GB82WEST12345698765432, FR1420041010050500013M02606.", "[iban], [iban]."),
        (f"token ghp_{KEY}!", "token [api_key]!"),
        ("key=AKIA" + "A1B2C3D4E5F6G7H8", "key=[api_key]"),
        ("AWS_SECRET_ACCESS_KEY = '" + KEY + "/+ab'", "AWS_SECRET_ACCESS_KEY = '[api_key]'"),
        (f'"SecretAccessKey": "{KEY}/+ab"', '"SecretAccessKey": "[api_key]"'),
        (f"ghu_{KEY} whsec_{KEY}", "[api_key] [api_key]"),
        ("export KEY=sk-proj-" + KEY + "ABCdef123456", "export KEY=[api_key]"),
        ("eyJ" + KEY + ".eyJ" + KEY + "." + KEY, "[api_key]"),
        (
            "a\n-----BEGIN RSA PRIVATE KEY-----\n" + (KEY + "\n") * 9 + "-----END RSA PRIVATE KEY-----\nb",
            "a\n[private_key]\nb",
        ),
    ],
)
def test_replaces(text: str, expected: str) -> None:
    assert replaced(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "private 192.168.0.1, 10.0.0.1, ::1 and 127.0.0.1",
        "14.3.4.1 Section, release 9.2.1.4",
        "#### 43.6.4.4. Simple CASE, see Section 34.5.1.3. The block 2000::/3, 128.9.0.0/16 and 239.0.0.1",
        "version 1.2.3.4.5 and 999.1.1.1",
        "systemctl start getty@tty1.service user@1000.slice.; icon@2x.png, npm i ./left-pad@1.3.0.tgz",
        "git clone git@example.org:jane/notes.git; rewrite (.+) to $1@example.org or $user@example.org",
        "std::vector at 10:20:30, user@host",
        "on 2024-01-15 12:30:45, 15.01.2024, 20240115123045",
        "built +20240115, offset +0200, range +1234-2",
        "call 1234567890123 of 4294967296 with 0x41111111",
        "telephone exchange 1984-2024, tel 1.2.3.4",
        "phone 555-1234 555 12 34 999",
        "4111 1111 1111 1112 and 1234 5678 9012 3456",
        "sha 4111111111111111aa and 0.4111111111111111 and id=4111111111111111",
        "ISBN 978-3-16-148410-0, 9783161484100, EAN 4006381333931",
        "DE88 3704 0044 0532 0130 00 and ISO2022 KR12 ABCD EFGH",
        "commit da39a3ee5e6b4b0d3255bfef95601890afd80709, uuid 123e4567-e89b-12d3-a456-426614174000",
        "sk-learn-something-that-is-no-key-at-all-but-long, ghp_short, AKIA, npm_config_registry",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    ],
)
def test_leaves_what_only_looks_like_it(text: str) -> None:
    assert replaced(text) == text


def test_counts_by_kind_and_can_be_turned_off() -> None:
    texts = ["a@b.org c@d.org 93.184.216.34", "nothing here", "tel +49 30 901820, 4111 1111 1111 1111"]
    found = [counts for _, counts in personal_data.replace(texts, ALL)]
    assert [{kind: counts[kind] for kind in KINDS if counts[kind]} for counts in found] == [
        {"email": 2, "ip": 1},
        {},
        {"phone": 1, "card": 1},
    ]
    assert [text for text, _ in personal_data.replace(texts, NONE)] == texts


@pytest.mark.parametrize(
    "text",
    [
        "a." * 100_000 + "@",
        "a" * 200_000 + "@b",
        "1." * 200_000,
        ":" * 200_000,
        "1 " * 200_000,
        "4111 " * 80_000,
        "tel " * 80_000,
        "AB12 " * 80_000,
        "-----BEGIN PRIVATE KEY-----" * 10_000,
        "eyJaaaaaaaaaaa." * 20_000,
    ],
)
def test_hostile_text_takes_no_longer(text: str) -> None:
    start = time.process_time()
    replaced(text)
    assert time.process_time() - start < 5


def test_a_number_of_no_country_keeps_nothing_alive() -> None:
    class Batch:
        """Stands for the pages in work."""

    def judged() -> "weakref.ref[Batch]":
        batch = Batch()
        assert replaced("call +999 123 456 789 today") == "call +999 123 456 789 today"
        return weakref.ref(batch)

    gc.disable()
    try:
        assert judged()() is None
    finally:
        gc.enable()

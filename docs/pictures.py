"""Makes dark and Chinese pictures from docs/images/*-light.svg; ``--check`` only compares."""

import sys
from pathlib import Path

IMAGES = Path(__file__).parent / "images"
DARK = {
    "#1f2328": "#f0f6fc",
    "#59636e": "#9198a1",
    "#8c959f": "#6e7681",
    "#d0d7de": "#3d444d",
    "#ffffff": "#0d1117",
    "#f6f8fa": "#151b23",
    "#0969da": "#4493f8",
    "#bf3989": "#db61a2",
    "#9a6700": "#d29922",
    "#1a7f37": "#3fb950",
}
"""Each colour of a light picture, and what it is on a dark page."""
CHINESE = {
    "HTTP clients": "HTTP 客户端",
    "your servers, tools and pages": "业务服务、工具、网页",
    "Gateways of each app": "各应用的网关",
    "game": "游戏",
    "live room": "直播间",
    "support": "客服",
    "history, notices": "历史、公告",
    "the only writer": "唯一的写入者",
    "a WebSocket per gateway": "每个网关一条 WebSocket",
    "in batches": "成批写入",
    "or MySQL": "或 MySQL",
    "one log per app, in one order": "每个应用一份日志，一个顺序",
    "queries": "查询",
    "sends, recalls, notices": "发送、撤回、公告",
    "sends": "发送",
    "pushes": "推送",
    "one atomic script per batch": "每批一个原子脚本",
    "live, gaps, resume": "实时、补洞、续传",
    "rows": "数据行",
}
"""Each label of the architecture, and what it is in Chinese; names of processes stay."""
TRANSLATED = ("architecture",)


def pictures() -> dict[str, str]:
    """Every picture that is made, by its file name."""
    made: dict[str, str] = {}
    for source in sorted(IMAGES.glob("*-light.svg")):
        name, light = source.name.removesuffix("-light.svg"), source.read_text()
        made[f"{name}-dark.svg"] = _replaced(light, DARK)
        if name in TRANSLATED:
            chinese = _replaced(
                light, {f">{label}</text>": f">{text}</text>" for label, text in CHINESE.items()}
            )
            made[f"{name}-light.zh-CN.svg"] = chinese
            made[f"{name}-dark.zh-CN.svg"] = _replaced(chinese, DARK)
    return made


def _replaced(text: str, words: dict[str, str]) -> str:
    for before, after in words.items():
        text = text.replace(before, after)
    return text


def main() -> None:
    """Write the pictures, or with ``--check`` end with status 1 if one is stale."""
    stale: list[str] = []
    for name, made in pictures().items():
        path = IMAGES / name
        if not path.exists() or path.read_text() != made:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(made)
    if stale and "--check" in sys.argv:
        sys.exit(f"{', '.join(stale)} in docs/images are stale: make pictures")


if __name__ == "__main__":
    main()

"""The playground: one HTML file in which a net and its pruned copies answer in the browser.

html = playground(dense, pruned, data, title="digits, lenet_300_100")
"""
from minnet.play.page import playground

__all__ = ["playground"]

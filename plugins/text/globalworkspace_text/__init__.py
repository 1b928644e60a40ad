"""Text domains for globalworkspace: the kind `bert` (`globalworkspace_text.bert.BertDomain`)."""

package attribute

import (
	"slices"
	"strings"
	"testing"

	"whoasked/parse"
)

// The server's flight as OpenSSL cuts it, without and with a request.
const (
	flight4 = "S:23/36 S:23/855 S:23/281 S:23/53"
	flight5 = "S:23/36 S:23/94 S:23/855 S:23/281 S:23/53"
	flight1 = "S:23/1427" // all in one record
	clear0  = "S:hello12 S:cert S:ske S:done"
	clear1  = "S:hello12 S:cert S:ske S:req S:done"
)

type judgeCase struct {
	name   string
	script string
	asked  Answer
	// rule is the row that the verdict rests on; the case fails without it.
	rule     string
	reason   string // part of it, for Unknown
	support  string // what else the browser did
	reply    Reply
	required Answer
	when     When
	resumed  bool
}

var judgeCases = []judgeCase{
	// TLS ≤ 1.2 in the clear.
	{name: "1.2 asked", script: "C:hello " + clear1 + " C:cert0 C:cke C:20/1 C:22/40 S:20/1 S:22/40",
		asked: Yes, rule: "request-seen", reply: ReplyEmpty, when: InHandshake},
	{name: "1.2 asked, server side only", script: clear1, asked: Yes, rule: "request-seen", when: InHandshake, reply: ReplyNone},
	{name: "1.2 asked, certificate", script: "C:hello " + clear1 + " C:cert C:cke", asked: Yes, rule: "request-seen", reply: ReplyCert, when: InHandshake},
	{name: "1.2 required", script: "C:hello " + clear1 + " C:cert0 C:cke C:20/1 C:22/40 S:alert40 S:fin",
		asked: Yes, rule: "request-seen", reply: ReplyEmpty, required: Yes, when: InHandshake},
	{name: "1.2 optional, much data follows", script: "C:hello " + clear1 + " C:cert0 C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/300 S:23/9000",
		asked: Yes, rule: "request-seen", reply: ReplyEmpty, required: No, when: InHandshake},
	{name: "1.2 dropped by a browser", script: "C:hello+chromium " + clear1 + " C:fin S:fin", asked: Yes, rule: "request-seen", reply: ReplyDropped, when: InHandshake},
	{name: "1.2 held by a browser", script: "C:hello+firefox " + clear1 + " @9 C:fin", asked: Yes, rule: "request-seen", reply: ReplyStalled, when: InHandshake},
	{name: "1.2 refused", script: "C:hello " + clear1 + " C:alert48", asked: Yes, rule: "request-seen", reply: ReplyRefused, when: InHandshake},
	{name: "1.2 client side only", script: "C:hello C:cert0 C:cke C:20/1", asked: Yes, rule: "client-certificate-seen", reply: ReplyEmpty, when: InHandshake},
	{name: "1.2 request lost, client certificate seen", script: "C:hello S:hello12 S:done! C:cert C:cke", asked: Yes, rule: "client-certificate-seen", reply: ReplyCert, when: InHandshake},
	{name: "SSL 3.0 without certificate", script: "C:hello S:hello12 S:done! C:warn41 C:cke", asked: Yes, rule: "ssl3-no-certificate", reply: ReplyEmpty, when: InHandshake},
	{name: "1.2 not asked", script: "C:hello " + clear0 + " C:cke C:20/1 C:22/40", asked: No, rule: ""},
	{name: "1.2 not asked, server side only", script: clear0, asked: No, rule: "server-flight-seen"},
	{name: "1.2 not asked, client side only", script: "C:hello C:cke C:20/1 C:22/40", asked: No, rule: "client-flight-seen"},
	{name: "1.2 loss in the server's flight, client not asked", script: "C:hello S:hello12 S:cert S:done! C:cke", asked: No, rule: "client-flight-seen"},
	{name: "1.2 asked, client does not care", script: "C:hello " + clear1 + " C:cke C:20/1 C:22/40", asked: Yes, rule: "request-seen", reply: ReplyNone, when: InHandshake},
	{name: "1.2 loss on both sides", script: "C:hello S:hello12 S:cert S:done! C:cke! S:lost", asked: Unknown, reason: "not captured"},
	{name: "1.2 resumed by id", script: "C:hello S:hello12+echo", asked: No, rule: "abbreviated-handshake", resumed: true},
	{name: "1.2 resumed by ticket", script: "C:hello S:hello12 S:ticket S:20/1 S:22/40 C:20/1 C:22/40", asked: No, rule: "abbreviated-handshake", resumed: true},
	{name: "1.2 resumed, client side only", script: "C:hello C:20/1 C:22/40 C:23/100", asked: No, rule: "abbreviated-handshake", resumed: true},
	{name: "1.2 change of keys behind a gap", script: "C:hello S:hello12 S:20/1! S:22/40", asked: Unknown, reason: "breaks off"},

	// TLS 1.3: what the client sends behind the server's flight.
	{name: "1.3 Finished", script: "C:hello S:hello13 " + flight1 + " C:20/1 C:23/53 C:23/108", asked: No, rule: "tls13-client-flight"},
	{name: "1.3 Finished, SHA-384", script: "C:hello S:hello13+sha384 " + flight1 + " C:23/69", asked: No, rule: "tls13-client-flight"},
	{name: "1.3 Finished, 8-byte tag", script: "C:hello S:hello13+ccm8 " + flight1 + " C:23/45", asked: No, rule: "tls13-client-flight"},
	{name: "1.3 Finished, JSSE", script: "C:hello S:hello13 " + flight1 + " C:23/69", asked: No, rule: "tls13-client-flight"},
	{name: "1.3 Finished, Chromium settings", script: "C:hello+chromium S:hello13 " + flight1 + " C:23/63", asked: No, rule: "tls13-client-flight"},
	{name: "1.3 empty in one record", script: "C:hello S:hello13 " + flight1 + " C:23/61", asked: Yes, rule: "tls13-client-flight", reply: ReplyEmpty, when: InHandshake},
	{name: "1.3 empty in two records", script: "C:hello S:hello13+sha384 " + flight1 + " C:23/25 C:23/69", asked: Yes, rule: "tls13-client-flight", reply: ReplyEmpty, when: InHandshake},
	{name: "1.3 empty, JSSE", script: "C:hello S:hello13+sha384 " + flight1 + " C:23/41 C:23/85", asked: Yes, rule: "tls13-client-flight", reply: ReplyEmpty, when: InHandshake},
	{name: "1.3 empty, Chromium settings", script: "C:hello+chromium S:hello13 " + flight1 + " C:23/71", asked: Yes, rule: "tls13-client-flight", reply: ReplyEmpty, when: InHandshake},
	{name: "1.3 certificate in three records", script: "C:hello S:hello13 " + flight1 + " C:23/588 C:23/281 C:23/53", asked: Yes, rule: "tls13-client-flight", reply: ReplyCert, when: InHandshake},
	{name: "1.3 certificate in one record", script: "C:hello S:hello13 " + flight1 + " C:23/955 C:23/87", asked: Yes, rule: "tls13-client-certificate", reply: ReplyCert, when: InHandshake},
	{name: "1.3 required", script: "C:hello S:hello13 " + flight1 + " C:23/25 C:23/53 S:23/19 S:fin", asked: Yes, rule: "tls13-client-flight", reply: ReplyEmpty, required: Yes, when: InHandshake},
	{name: "1.3, the client closes first", script: "C:hello S:hello13 " + flight1 + " C:23/25 C:23/53 C:23/19 S:23/19 S:fin", asked: Yes, rule: "tls13-client-flight", reply: ReplyEmpty, when: InHandshake},
	{name: "1.3, the client's stream ends first", script: "C:hello S:hello13 " + flight1 + " C:23/25 C:23/53 C:fin S:23/19 S:fin", asked: Yes, rule: "tls13-client-flight", reply: ReplyEmpty, when: InHandshake},
	{name: "1.3, the server closes much later", script: "C:hello S:hello13 " + flight1 + " C:23/25 C:23/53 @1.5 S:23/19 S:fin", asked: Yes, rule: "tls13-client-flight", reply: ReplyEmpty, when: InHandshake},
	{name: "1.3, the server's stream ends much later", script: "C:hello S:hello13 " + flight1 + " C:23/25 C:23/53 @1.5 S:fin", asked: Yes, rule: "tls13-client-flight", reply: ReplyEmpty, when: InHandshake},
	{name: "1.3, required, with a request on its way", script: "C:hello S:hello13 " + flight1 + " C:23/25 C:23/53 C:23/200 S:23/19 S:fin", asked: Yes, rule: "tls13-client-flight", reply: ReplyEmpty, required: Yes, when: InHandshake},
	{name: "1.3 optional, much data follows", script: "C:hello S:hello13 " + flight1 + " C:23/61 C:23/87 S:23/250 S:23/9000", asked: Yes, rule: "tls13-client-flight", reply: ReplyEmpty, required: No, when: InHandshake},
	{name: "1.3 client side only, empty", script: "C:hello C:20/1 C:23/61", asked: Yes, rule: "tls13-client-flight", reply: ReplyEmpty, when: InHandshake},
	{name: "1.3 client side only, Finished", script: "C:hello C:20/1 C:23/69", asked: No, rule: "tls13-client-flight"},
	{name: "1.3 an alert behind a gap, which may hide what was served", script: "C:hello S:hello13 " + flight1 + " C:23/25 C:23/53 S:23/19! S:fin", asked: Yes, rule: "tls13-client-flight", reply: ReplyEmpty, when: InHandshake},
	{name: "1.2 resumed, the ServerHello and the client's answer missing", script: "C:hello S:22/4881! S:20/1 C:23/383 C:23/26", asked: Unknown, reason: "not recognised"},
	{name: "1.3 gap before the client's flight", script: "C:hello S:hello13 " + flight1 + " C:23/61!", asked: Unknown, reason: "missing in front"},
	{name: "1.3 padded records", script: "C:hello S:hello13 " + flight1 + " C:23/528 C:23/528", asked: Unknown, reason: "pads"},
	{name: "1.3 padded to the length of Finished", script: "C:hello S:hello13+sha384 S:23/27 S:23/118 S:23/534 S:23/281 S:23/69 C:23/69 C:23/69", asked: Yes, rule: "tls13-server-flight", when: InHandshake},
	{name: "1.3 padded to the length of Finished, client side only", script: "C:hello C:23/69 C:23/69 C:23/69", asked: Unknown, reason: "an empty Certificate padded"},
	{name: "1.3 Finished, and data of that length", script: "C:hello S:hello13+sha384 S:23/27 S:23/534 S:23/281 S:23/69 C:23/69 C:23/69", asked: No, rule: ""},
	// OpenSSL's s_client -record_padding 9, 15, 45, 500, 37, 53: Finished, and a close.
	{name: "1.3 padded to the length of an empty answer, server counts four", script: "C:hello S:hello13 " + flight4 + " C:23/61 C:23/25", asked: Unknown, reason: "contradict"},
	{name: "1.3 padded to the length of an empty answer, one record", script: "C:hello S:hello13 " + flight4 + " C:23/61", asked: Unknown, reason: "contradict"},
	{name: "1.3 padded by 9", script: "C:hello S:hello13 " + flight1 + " C:23/61 C:23/25", asked: Unknown, reason: "blocks of 9:"},
	{name: "1.3 padded by 15", script: "C:hello S:hello13 " + flight1 + " C:23/61 C:23/31", asked: Unknown, reason: "blocks of 15:"},
	{name: "1.3 padded by 45, client side only", script: "C:hello C:23/61 C:23/61", asked: Unknown, reason: "blocks of 9:"},
	{name: "1.3 padded by 61, SHA-384", script: "C:hello S:hello13+sha384 " + flight1 + " C:23/77 C:23/138", asked: Unknown, reason: "blocks of 61:"},
	{name: "1.3 padded by 45, 8-byte tag", script: "C:hello S:hello13+ccm8 " + flight1 + " C:23/53 C:23/98", asked: Unknown, reason: "blocks of 9:"},
	{name: "1.3 empty, all by 3, which makes nothing of it", script: "C:hello S:hello13 " + flight1 + " C:23/61 C:23/19", asked: Yes, rule: "tls13-client-flight", reply: ReplyEmpty, when: InHandshake},
	{name: "1.3 empty, all by 9, server counts five", script: "C:hello S:hello13 " + flight5 + " C:23/61 C:23/25", asked: Yes, rule: "tls13-client-flight", reply: ReplyEmpty, when: InHandshake},
	{name: "1.3 empty, all by 9, of a browser", script: "C:hello+firefox S:hello13 " + flight1 + " C:23/61 C:23/25", asked: Yes, rule: "tls13-client-flight", reply: ReplyEmpty, when: InHandshake},
	{name: "1.3 empty, all by 9, refused at once", script: "C:hello S:hello13 " + flight1 + " C:23/61 S:23/19 C:23/61 S:fin", asked: Yes, rule: "tls13-client-flight", reply: ReplyEmpty, required: Yes, when: InHandshake},
	{name: "1.3 padded by 9, closed by both", script: "C:hello S:hello13 " + flight1 + " C:23/61 C:23/25 S:23/19 S:fin", asked: Unknown, reason: "blocks of 9:"},
	{name: "1.3 padded by 9, left idle", script: "C:hello S:hello13 " + flight1 + " C:23/61 @5 S:23/19 C:23/25 S:fin", asked: Unknown, reason: "blocks of 9:"},
	{name: "1.3 padded by 500", script: "C:hello S:hello13 " + flight1 + " C:23/516 C:23/516", asked: Unknown, reason: "pads"},
	{name: "1.3 padded by 500, server counts four", script: "C:hello S:hello13+sha384 S:23/23 S:23/836 S:23/281 S:23/69 C:23/516 C:23/1016", asked: No, rule: "tls13-server-flight"},
	{name: "1.3 asked, padded by 37", script: "C:hello S:hello13 " + flight1 + " C:23/53 C:23/53 C:23/90", asked: Unknown, reason: "blocks of 37:"},
	{name: "1.3 asked, padded by 53 in one record", script: "C:hello S:hello13 " + flight1 + " C:23/69 C:23/122", asked: Unknown, reason: "blocks of 53:"},
	{name: "1.3 asked, padded by 53 in one record, server counts five", script: "C:hello S:hello13 " + flight5 + " C:23/69", asked: Unknown, reason: "contradict"},
	{name: "1.3 an alert padded by 9", script: "C:hello S:hello13 " + flight1 + " C:23/25 C:fin", asked: Unknown, reason: "or a padded alert"},
	{name: "1.3 odd length", script: "C:hello S:hello13 " + flight1 + " C:23/120", asked: Unknown, reason: "no known shape"},
	{name: "1.3 alert", script: "C:hello S:hello13 " + flight1 + " C:20/1 C:23/19 C:fin", asked: Unknown, reason: "an alert"},
	{name: "1.3 early data not taken up", script: "C:hello+early,psk C:23/61 S:hello13 " + flight1 + " C:23/61", asked: Unknown, reason: "0-RTT"},
	{name: "1.3 resumed", script: "C:hello+psk S:hello13+psk S:23/36 S:23/53 C:23/53", asked: No, rule: "tls13-psk", resumed: true},
	{name: "1.3 resumed with early data", script: "C:hello+early,psk C:23/300 S:hello13+psk S:23/36 S:23/53 C:23/21 C:23/53", asked: No, rule: "tls13-psk", resumed: true},

	// TLS 1.3: how the server's flight is cut.
	{name: "1.3 server flight of five", script: "C:hello S:hello13 " + flight5, asked: Yes, rule: "tls13-server-flight", reply: ReplyNone, when: InHandshake},
	{name: "1.3 server flight of four", script: "C:hello S:hello13 " + flight4, asked: No, rule: "tls13-server-flight"},
	{name: "1.3 server flight of five, JSSE", script: "C:hello S:hello13+sha384 S:23/65 S:23/152 S:23/1113 S:23/297 S:23/85", asked: Yes, rule: "tls13-server-flight", reply: ReplyNone, when: InHandshake},
	{name: "1.3 server flight of five, refused", script: "C:hello S:hello13 " + flight5 + " C:23/19 C:fin", asked: Yes, rule: "tls13-server-flight", reply: ReplyRefused, when: InHandshake},
	{name: "1.3 ticket right behind four", script: "C:hello S:hello13 S:23/27 S:23/691 S:23/281 S:23/53 S:23/139", asked: No, rule: "tls13-server-flight"},
	{name: "1.3 certificate in two fragments", script: "C:hello S:hello13 S:23/36 S:23/1041 S:23/600 S:23/281 S:23/53", asked: Unknown, reason: "before the client answered"},
	{name: "1.3 certificate of 17 KiB", script: "C:hello S:hello13 S:23/36 S:23/16401 S:23/900 S:23/281 S:23/53", asked: No, rule: "tls13-server-flight"},
	{name: "1.3 request in the first record", script: "C:hello S:hello13 S:23/180 S:23/855 S:23/281 S:23/53", asked: Unknown, reason: "before the client answered"},
	{name: "1.3 gap in the server's flight", script: "C:hello S:hello13 S:23/36 S:23/855! S:23/281 S:23/53", asked: Unknown, reason: "before the client answered"},
	{name: "1.3 server and client disagree", script: "C:hello S:hello13 " + flight4 + " C:23/955 C:23/33", asked: Unknown, reason: "contradict"},

	// TLS 1.3: what a browser does before it answers.
	{name: "1.3 dropped by Chromium", script: "C:hello+chromium S:hello13 " + flight1 + " C:fin S:fin", asked: Unknown, reason: "but also when it ends"},
	{name: "1.3 dropped by Chromium, more than once", script: "C:hello+chromium S:hello13 " + flight1 + " C:fin S:fin", support: "again", asked: Yes, rule: "browser-dropped", reply: ReplyDropped, when: InHandshake},
	{name: "1.3 reset by Chromium, more than once", script: "C:hello+chromium S:hello13 " + flight1 + " C:rst", support: "again", asked: Yes, rule: "browser-dropped", reply: ReplyDropped, when: InHandshake},
	{name: "1.3 dropped by Chromium, server counts five", script: "C:hello+chromium S:hello13 " + flight5 + " C:fin", asked: Yes, rule: "tls13-server-flight", reply: ReplyDropped, when: InHandshake},
	{name: "1.3 dropped, server counts four", script: "C:hello+chromium S:hello13 " + flight4 + " C:fin", asked: No, rule: "tls13-server-flight"},
	{name: "1.3 dropped by no browser", script: "C:hello S:hello13 " + flight1 + " C:fin", asked: Unknown, reason: "not one of theirs"},
	{name: "1.3 dropped after the server closed", script: "C:hello+chromium S:hello13 " + flight1 + " S:fin C:fin", asked: Unknown, reason: "did not answer"},
	{name: "1.3 given up before the server's flight", script: "C:hello+chromium C:fin S:hello13 " + flight1 + " C:rst", asked: Unknown, reason: "did not answer"},
	{name: "1.3 dropped, client bytes lost", script: "C:hello+chromium S:hello13 " + flight1 + " C:lost C:fin", asked: Unknown, reason: "not captured"},
	{name: "1.3 held by Firefox", script: "C:hello+firefox S:hello13 " + flight1 + " @11.3 C:fin", asked: Yes, rule: "browser-held", reply: ReplyStalled, when: InHandshake},
	{name: "1.3 held by no browser", script: "C:hello S:hello13 " + flight1 + " @11.3 C:fin", asked: Unknown, reason: "not Firefox's"},
	{name: "1.3 capture ends early", script: "C:hello+firefox S:hello13 " + flight1 + " @0.4", asked: Unknown, reason: "before the client answered"},

	// Handshakes inside a connection.
	{name: "renegotiation asks", script: "C:hello " + clear0 + " C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 round S:22/28 C:22/246 S:22/113 S:22/1723 S:22/324 S:22/127 S:22/28 C:22/854 C:22/61 C:22/288 C:20/25 C:22/40",
		asked: Yes, rule: "renegotiation-client-flight", reply: ReplyCert, when: InRenegotiation},
	{name: "renegotiation asks, empty certificate", script: "C:hello " + clear0 + " C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 round S:22/28 C:22/246 C:22/31 C:22/61 C:20/25 C:22/40",
		asked: Yes, rule: "renegotiation-client-flight", reply: ReplyEmpty, when: InRenegotiation},
	{name: "renegotiation asks, browser drops", script: "C:hello+chromium " + clear0 + " C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 round S:22/28 C:22/1953 S:22/113 S:22/1723 S:22/324 S:22/127 S:22/28 C:fin",
		asked: Yes, rule: "renegotiation-server-flight", reply: ReplyDropped, when: InRenegotiation},
	{name: "renegotiation of a resumed session asks", script: "C:hello S:hello12+echo C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 round S:22/28 C:22/246 S:22/113 S:22/1723 S:22/324 S:22/127 S:22/28 C:22/854 C:22/61 C:22/288 C:20/25 C:22/40",
		resumed: true, asked: Yes, rule: "renegotiation-client-flight", reply: ReplyCert, when: InRenegotiation},
	{name: "renegotiation of a resumed session asks, empty certificate", script: "C:hello S:hello12+echo C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 round S:22/28 C:22/246 C:22/31 C:22/94 C:20/25 C:22/40",
		resumed: true, asked: Yes, rule: "renegotiation-client-flight", reply: ReplyEmpty, when: InRenegotiation},
	{name: "renegotiation of a resumed session does not ask", script: "C:hello S:hello12+echo C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 round S:22/28 C:22/246 S:22/113 S:22/1723 S:22/324 S:22/28 C:22/61 C:20/25 C:22/40",
		resumed: true, asked: No, rule: "abbreviated-handshake"},
	{name: "renegotiation of a resumed session, nothing known", script: "C:hello S:hello12+echo C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 round S:22/28 C:22/246 S:22/113 S:22/1723 S:22/324 S:22/28 C:22/63 C:20/25 C:22/40",
		resumed: true, asked: Unknown, reason: "was renegotiated"},
	{name: "renegotiation does not ask", script: "C:hello " + clear0 + " C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 round S:22/28 C:22/246 S:22/113 S:22/1723 S:22/324 S:22/28 C:22/61 C:20/25 C:22/40",
		asked: No, rule: ""},
	{name: "second renegotiation asks", script: "C:hello " + clear0 + " C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 round S:22/28 C:22/246 S:22/113 S:22/1723 S:22/324 S:22/28 C:22/61 C:20/25 C:22/40 S:20/25 S:22/40 S:23/90 round S:22/28 C:22/246 S:22/113 S:22/1723 S:22/324 S:22/127 S:22/28 C:22/854 C:22/61 C:22/288 C:20/25 C:22/40",
		asked: Yes, rule: "renegotiation-client-flight", reply: ReplyCert, when: InRenegotiation},
	{name: "second renegotiation asks, browser drops", script: "C:hello " + clear0 + " C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 round S:22/28 C:22/246 S:22/113 S:22/1723 S:22/324 S:22/28 C:22/61 C:20/25 C:22/40 S:20/25 S:22/40 S:23/90 round S:22/28 C:22/246 S:22/113 S:22/1723 S:22/324 S:22/127 S:22/28 C:fin",
		asked: Yes, rule: "renegotiation-server-flight", reply: ReplyDropped, when: InRenegotiation},
	{name: "renegotiation refused by the server", script: "C:hello " + clear0 + " C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 S:23/90  round C:22/246 S:23/60 S:fin C:fin", asked: No, rule: "server-flight-seen"},
	{name: "renegotiation refused by the client", script: "C:hello " + clear0 + " C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 S:23/90  round S:22/28 C:21/26 C:23/80 S:23/500 S:21/26 S:fin C:fin", asked: No, rule: "server-flight-seen"},
	{name: "renegotiation refused, not yet closed", script: "C:hello " + clear0 + " C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 S:23/90  round C:22/246 S:23/60", asked: Unknown, reason: "was renegotiated"},
	{name: "renegotiation refused, the server resets", script: "C:hello " + clear0 + " C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 S:23/90 round C:22/246 S:23/60 S:rst", asked: Unknown, reason: "was renegotiated"},
	{name: "renegotiation refused, the client resets", script: "C:hello " + clear0 + " C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 S:23/90  round C:22/246 S:23/60 C:rst", asked: Unknown, reason: "was renegotiated"},
	{name: "renegotiation refused, bytes of the server missing", script: "C:hello " + clear0 + " C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 S:23/90  round C:22/246 S:hidden S:23/60! S:fin C:fin", asked: Unknown, reason: "was renegotiated"},
	{name: "renegotiation begun by the server", script: "C:hello " + clear0 + " C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 S:23/90  round C:22/246 S:22/113 S:fin C:fin", asked: Unknown, reason: "was renegotiated"},
	{name: "renegotiation abbreviated", script: "C:hello " + clear0 + " C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 round S:22/28 C:22/430 S:22/133 S:20/25 S:22/40 C:20/25 C:22/40", asked: No, rule: ""},
	{name: "post-handshake certificate", script: "C:hello+pha S:hello13+sha384 " + flight1 + " C:23/69 S:23/250 S:23/250 pha C:23/108 S:23/231 C:23/588 C:23/281 C:23/69 S:23/778 S:23/778",
		asked: Yes, rule: "post-handshake-answer", reply: ReplyCert, when: AfterHandshake},
	{name: "post-handshake empty", script: "C:hello+pha S:hello13+sha384 " + flight1 + " C:23/69 S:23/314 S:23/314 pha C:23/108 S:23/151 C:23/57 C:23/69 S:23/314 S:23/314",
		asked: Yes, rule: "post-handshake-answer", reply: ReplyEmpty, when: AfterHandshake},
	// Uploads in chunks of these lengths to servers that never ask, tickets on the way.
	{name: "data as long as an answer, tickets in between", script: "C:hello+pha S:hello13+sha384 " + flight1 + " C:23/69 pha C:23/115 C:23/223 S:23/266 S:23/266 S:23/166 C:23/93 C:23/69 C:23/22",
		asked: Unknown, reason: "or application data"},
	{name: "data as long as an answer, behind data", script: "C:hello+pha S:hello13+sha384 " + flight1 + " C:23/69 S:23/266 S:23/266 pha C:23/115 S:23/166 C:23/223 C:23/93 C:23/69 C:23/22",
		asked: Unknown, reason: "or application data"},
	{name: "data as long as an answer, behind other data", script: "C:hello+pha S:hello13+sha384 " + flight1 + " C:23/69 S:23/266 S:23/266 pha S:23/166 C:23/115 C:23/223 C:23/93 C:23/69 S:23/266 S:23/266",
		asked: Unknown, reason: "or application data"},
	{name: "data as long as an answer, told to go on", script: "C:hello+pha S:hello13+sha384 " + flight1 + " C:23/69 S:23/266 S:23/266 pha C:23/115 S:23/42 C:23/223 C:23/93 C:23/69 S:23/282 S:23/282",
		asked: Unknown, reason: "or application data"},
	{name: "data as long as an answer, a response in between", script: "C:hello+pha S:hello13+sha384 " + flight1 + " C:23/69 S:23/266 S:23/266 pha C:23/115 S:23/166 C:23/223 S:23/90 C:23/93 C:23/69 S:23/282 S:23/282",
		asked: Unknown, reason: "or application data"},
	{name: "data as long as an answer, then the end", script: "C:hello+pha S:hello13+sha384 " + flight1 + " C:23/69 S:23/266 S:23/266 pha C:23/115 S:23/166 C:23/223 C:23/93 C:23/69 S:23/19 S:fin",
		asked: Unknown, reason: "or application data"},
	{name: "data as long as an empty answer, tickets late", script: "C:hello+pha S:hello13+sha384 " + flight1 + " C:23/69 C:23/115 pha S:23/266 C:23/57 C:23/69 S:23/266 S:23/166",
		asked: Unknown, reason: "or application data"},
	{name: "data as long as an empty answer, tickets behind", script: "C:hello+pha S:hello13+sha384 " + flight1 + " C:23/69 C:23/115 pha C:23/57 C:23/69 S:23/266 S:23/266 S:23/166",
		asked: Unknown, reason: "or application data"},
	{name: "data as long as an empty answer, a late ticket, then the end", script: "C:hello+pha S:hello13+sha384 " + flight1 + " C:23/69 C:23/115 pha S:23/266 C:23/57 C:23/69 S:23/19 S:fin",
		asked: Unknown, reason: "or application data"},
	{name: "data as long as an empty answer in one record, tickets behind", script: "C:hello+pha S:hello13 " + flight1 + " C:23/53 pha C:23/93 S:23/266 S:23/266 C:23/500 C:23/53",
		asked: No, rule: "tls13-client-flight"},
	{name: "post-handshake doubtful", script: "C:hello+pha S:hello13+sha384 " + flight1 + " C:23/69 S:23/314 pha C:23/108 S:23/151 C:23/57 C:23/69 S:23/900",
		asked: Unknown, reason: "or application data"},

	{name: "post-handshake empty, refused", script: "C:hello+pha S:hello13+sha384 " + flight1 + " C:23/69 S:23/282 S:23/282 pha C:23/83 S:23/150 C:23/57 S:23/19 C:23/69",
		asked: Yes, rule: "post-handshake-answer", reply: ReplyEmpty, required: Yes, when: AfterHandshake},
	{name: "post-handshake certificate in one record", script: "C:hello+pha S:hello13 " + flight1 + " C:23/53 S:23/266 S:23/266 pha C:23/79 S:23/150 C:23/970 S:23/874 S:23/874",
		asked: Unknown, reason: "or application data"},
	{name: "post-handshake empty in one record", script: "C:hello+pha S:hello13 " + flight1 + " C:23/53 S:23/266 S:23/266 pha C:23/79 S:23/150 C:23/93 S:23/266 S:23/266",
		asked: Yes, rule: "post-handshake-answer", reply: ReplyEmpty, when: AfterHandshake},
	{name: "renegotiation in one record each", script: "C:hello " + clear0 + " C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/86 round S:22/28 C:22/286 S:22/141 S:22/740 S:22/324 S:22/126 S:22/28 C:22/943 C:20/25 C:22/40",
		asked: Yes, rule: "renegotiation-client-flight", reply: ReplyCert, when: InRenegotiation},
	{name: "renegotiation asks, torn in front and behind", script: "C:hello " + clear0 + " C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 round S:22/28! C:22/246 S:22/113 S:22/1723 S:22/324 S:22/127 S:22/28 C:22/31 C:22/61 C:20/25 C:22/40 C:hidden S:hidden S:23/90! C:23/80!",
		asked: Yes, rule: "renegotiation-client-flight", reply: ReplyEmpty, when: InRenegotiation},
	{name: "renegotiation does not ask, torn behind", script: "C:hello " + clear0 + " C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 round S:22/28 C:22/246 S:22/113 S:22/1723 S:22/324 S:22/28 C:22/61 C:20/25 C:22/40 C:hidden S:hidden S:23/90! C:23/80!",
		asked: Unknown, reason: "was renegotiated"},
	{name: "renegotiation does not ask, torn in front", script: "C:hello " + clear0 + " C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 round S:hidden S:22/28! C:22/246 S:22/113 S:22/1723 S:22/324 S:22/28 C:22/61 C:20/25 C:22/40",
		asked: Unknown, reason: "was renegotiated"},
	{name: "renegotiation abbreviated, torn behind", script: "C:hello " + clear0 + " C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 round S:22/28 C:22/430 S:22/133 S:20/25 S:22/40 C:20/25 C:22/40 C:hidden S:hidden C:23/80!",
		asked: Unknown, reason: "was renegotiated"},
	{name: "renegotiation, half captured", script: "C:hello " + clear0 + " C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 round S:22/28 C:22/246 S:22/113! S:22/28 C:22/61!",
		asked: Unknown, reason: "was renegotiated"},
	{name: "1.2 both sides lose records later", script: "C:hello " + clear0 + " C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 C:hidden S:hidden", asked: Unknown, reason: "may hide a renegotiation"},
	{name: "1.2 one side loses records later", script: "C:hello " + clear0 + " C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 S:hidden", asked: No, rule: ""},
	{name: "post-handshake offered, client loses records later", script: "C:hello+pha S:hello13+sha384 " + flight1 + " C:23/69 S:23/314 C:hidden", asked: Unknown, reason: "post-handshake request"},

	// Unsealed with keys.
	{name: "unsealed request", script: "C:hello S:hello13 " + flight1 + " S:*ee S:*req S:*cert S:*cv S:*fin C:fin", asked: Yes, rule: "request-unsealed", reply: ReplyDropped, when: InHandshake},
	{name: "unsealed request, nothing else", script: "C:hello S:hello13 " + flight1 + " S:*req!", asked: Yes, rule: "request-unsealed", reply: ReplyNone, when: InHandshake},
	{name: "unsealed answer, empty", script: "C:hello S:hello13 " + flight1 + " C:23/120 C:*cert0 C:*fin", asked: Yes, rule: "client-certificate-unsealed", reply: ReplyEmpty, when: InHandshake},
	{name: "unsealed answer, certificate", script: "C:hello S:hello13 " + flight1 + " C:23/528 C:23/528 C:*cert! C:*cv C:*fin", asked: Yes, rule: "client-certificate-unsealed", reply: ReplyCert, when: InHandshake},
	{name: "unsealed answer, compressed", script: "C:hello S:hello13 " + flight1 + " C:23/528 C:*ccert C:*cv C:*fin", asked: Yes, rule: "client-certificate-unsealed", reply: ReplyCert, when: InHandshake},
	{name: "unsealed request, refused by alert", script: "C:hello S:hello13 " + flight1 + " S:*ee S:*req S:*cert S:*cv S:*fin C:23/19 C:*alert48 C:fin", asked: Yes, rule: "request-unsealed", reply: ReplyRefused, when: InHandshake},
	{name: "unsealed, required", script: "C:hello S:hello13 " + flight1 + " S:*ee S:*req S:*fin C:23/61 C:*cert0 C:*fin S:23/19 S:*alert116 S:fin", asked: Yes, rule: "request-unsealed", reply: ReplyEmpty, required: Yes, when: InHandshake},
	{name: "unsealed, another alert is no refusal", script: "C:hello S:hello13 " + flight1 + " S:*ee S:*req S:*fin C:23/61 C:*cert0 C:*fin C:fin S:23/19 S:*alert50 S:fin", asked: Yes, rule: "request-unsealed", reply: ReplyEmpty, when: InHandshake},
	{name: "unsealed, much data follows", script: "C:hello S:hello13 " + flight1 + " S:*ee S:*req S:*fin C:23/61 C:*cert0 C:*fin S:23/9000", asked: Yes, rule: "request-unsealed", reply: ReplyEmpty, required: No, when: InHandshake},
	{name: "unsealed server flight", script: "C:hello+chromium S:hello13 " + flight1 + " S:*ee S:*cert S:*cv S:*fin C:fin", asked: No, rule: "server-flight-unsealed"},
	{name: "unsealed server flight with a gap", script: "C:hello S:hello13 " + flight1 + " S:*ee S:*cert! S:*cv S:*fin C:fin", asked: Unknown, reason: "not one of theirs"},
	{name: "unsealed client flight", script: "C:hello S:hello13 " + flight1 + " C:23/120 C:*fin", asked: No, rule: "client-flight-unsealed"},
	{name: "unsealed client flight with settings", script: "C:hello S:hello13 " + flight1 + " C:23/120 C:*ee C:*fin", asked: No, rule: "client-flight-unsealed"},
	{name: "unsealed client flight with a gap", script: "C:hello S:hello13 " + flight1 + " C:23/120 C:*fin!", asked: Unknown, reason: "no known shape"},
	{name: "unsealed overrules lengths", script: "C:hello S:hello13 " + flight1 + " C:23/61 S:*ee S:*cert S:*cv S:*fin C:*fin", asked: No, rule: "server-flight-unsealed"},
	{name: "unsealed, resumed", script: "C:hello+psk S:hello13+psk S:23/36 S:23/53 S:*ee S:*fin C:23/53 C:*fin", asked: No, rule: "server-flight-unsealed", resumed: true},
	{name: "unsealed renegotiation asks", script: "C:hello " + clear0 + " C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 round S:22/28 C:22/246 S:22/2000 S:*shello S:*cert S:*req S:*done C:fin",
		asked: Yes, rule: "renegotiation-unsealed", reply: ReplyDropped, when: InRenegotiation},
	{name: "unsealed renegotiation, server's side lost", script: "C:hello " + clear0 + " C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 S:hidden round C:22/246! C:22/99 C:*chello C:*cert0 C:*cke",
		asked: Yes, rule: "renegotiation-unsealed", reply: ReplyEmpty, when: InRenegotiation},
	{name: "unsealed renegotiation does not ask", script: "C:hello " + clear0 + " C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 round S:22/28 C:22/246! S:22/2000 S:*shello S:*cert S:*ske S:*done",
		asked: No, rule: "server-flight-seen"},
	{name: "unsealed renegotiation, a record stays closed", script: "C:hello " + clear0 + " C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 round S:22/28 C:22/246! S:22/2000 S:*shello S:unopened S:*done!",
		asked: Unknown, reason: "was renegotiated"},
	{name: "unsealed, asked in the clear and again", script: "C:hello " + clear1 + " C:cert C:cke C:20/1 C:22/40 S:20/1 S:22/40 C:23/107 round S:22/2000 S:*shello S:*req S:*done C:*cert0",
		asked: Yes, rule: "request-seen", reply: ReplyCert, when: InHandshake},
	{name: "unsealed post-handshake request", script: "C:hello+pha S:hello13 " + flight1 + " S:*ee S:*cert S:*cv S:*fin C:23/53 C:*fin pha C:23/99 S:23/151 S:*req C:23/61 C:*cert0 C:*fin S:23/19 S:*alert116",
		asked: Yes, rule: "post-handshake-unsealed", reply: ReplyEmpty, required: Yes, when: AfterHandshake},
	{name: "unsealed post-handshake, nobody asks", script: "C:hello+pha S:hello13+sha384 " + flight1 + " S:*ee S:*cert S:*cv S:*fin C:23/69 C:*fin S:23/314 pha C:23/108 S:23/151 C:23/57 C:23/69 S:23/900",
		asked: No, rule: "server-flight-unsealed"},
	{name: "unsealed post-handshake, a record stays closed", script: "C:hello+pha S:hello13+sha384 " + flight1 + " S:*ee S:*cert S:*cv S:*fin C:23/69 C:*fin S:23/314 S:unopened pha C:23/108 S:23/151 C:23/57 C:23/69 S:23/900",
		asked: Unknown, reason: "or application data"},
	{name: "secrets that do not fit", script: "C:hello S:hello13 " + flight1 + " C:23/120 C:keys-failed", asked: Unknown, reason: "none of them opens"},

	// Nothing to go on.
	{name: "joined in the middle", script: "C:23/500 S:23/900", asked: Unknown, reason: "begins after"},
	{name: "no answer", script: "C:hello", asked: Unknown, reason: "nothing of the server"},
	{name: "refused hello", script: "C:hello S:alert40", asked: Unknown, reason: "handshake_failure"},
}

// judge judges a case by some rules.
func (tt *judgeCase) judge(h *parse.Handshake, rules []rule) Verdict {
	v := newView(h)
	v.support = tt.support
	return judge(v, rules)
}

// TestRequiredServedInRound has what the server sent be in a round: the record behind
// it that is as long as an alert is a goodbye then, and no refusal.
func TestRequiredServedInRound(t *testing.T) {
	h := script(t, "C:hello+pha S:hello13 "+flight1+" C:23/25 C:23/53 S:23/19 S:fin")
	if got := Judge(h).Required; got != Yes {
		t.Errorf("nothing served: required %v, want yes", got)
	}
	goodbye := h.Tape.Records[len(h.Tape.Records)-1]
	served := goodbye
	served.Len = 1203
	h.Rounds = []parse.Round{{Kind: parse.PostHandshake, Tape: parse.Tape{Records: []parse.Record{served}}}}
	if got := Judge(h).Required; got != Unknown {
		t.Errorf("served in a round: required %v, want unknown", got)
	}
}

func TestJudge(t *testing.T) {
	for _, tt := range judgeCases {
		t.Run(tt.name, func(t *testing.T) {
			h := script(t, tt.script)
			got := tt.judge(h, rules)
			if got.Asked != tt.asked || got.Reply != tt.reply || got.Required != tt.required ||
				got.When != tt.when || got.Resumed != tt.resumed || !strings.Contains(got.Reason, tt.reason) {
				t.Errorf("got %+v\nwant asked %v reply %v required %v when %v resumed %v reason %q",
					got, tt.asked, tt.reply, tt.required, tt.when, tt.resumed, tt.reason)
			}
			if (got.Asked == Unknown) != (got.Reason != "") || (got.Asked == Unknown) != (len(got.Evidence) == 0) {
				t.Errorf("an answer has evidence and an unknown a reason: %+v", got)
			}
			if got.Asked == Yes && got.By != h.Flow.Addrs[parse.Accepter] {
				t.Errorf("By = %v", got.By)
			}
			if tt.rule == "" {
				return
			}
			if len(got.Evidence) == 0 || got.Evidence[0].Rule != tt.rule {
				t.Fatalf("rests on %+v, want %s", got.Evidence, tt.rule)
			}
			without := slices.DeleteFunc(slices.Clone(rules), func(r rule) bool { return r.name == tt.rule })
			if again := tt.judge(h, without); len(again.Evidence) > 0 && again.Evidence[0].Rule == tt.rule {
				t.Errorf("the verdict does not change without %s", tt.rule)
			}
		})
	}
}

// TestEveryRuleIsNeeded: for each row there is a scenario that is answered
// otherwise without it.
func TestEveryRuleIsNeeded(t *testing.T) {
	for i, r := range rules {
		without := slices.Delete(slices.Clone(rules), i, i+1)
		if !slices.ContainsFunc(judgeCases, func(tt judgeCase) bool {
			return tt.judge(script(t, tt.script), without).Asked != tt.asked
		}) {
			t.Errorf("no scenario needs %s", r.name)
		}
	}
}

// TestContradictionsListed: what is overruled is told.
func TestContradictionsListed(t *testing.T) {
	for _, tt := range []struct {
		script string
		asked  Answer
		rules  []string
	}{
		{"C:hello S:hello13 " + flight4 + " C:23/25 C:23/53", Yes, []string{"tls13-client-flight", "tls13-server-flight"}},
		{"C:hello+chromium S:hello13 " + flight4 + " C:fin", No, []string{"tls13-server-flight", "browser-dropped"}},
	} {
		got := Judge(script(t, tt.script))
		var fired []string
		for _, e := range got.Evidence {
			fired = append(fired, e.Rule)
		}
		if got.Asked != tt.asked || !slices.Equal(fired, tt.rules) || !strings.HasPrefix(got.Evidence[1].Text, "against it, but weaker: ") {
			t.Errorf("%s: %v by %+v", tt.script, got.Asked, got.Evidence)
		}
	}
}

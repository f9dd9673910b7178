package attribute

import (
	"math"
	"testing"
)

func TestTrialDemand(t *testing.T) {
	asked := Verdict{Asked: Yes, When: InHandshake}
	refused := asked
	refused.Required = Yes
	later := Verdict{Asked: Yes, When: InRenegotiation}
	for _, tt := range []struct {
		name  string
		trial Trial
		want  Demand
	}{
		{"not asked", Trial{Verdict: Verdict{Asked: No}, Through: true, Status: 200}, DemandNone},
		{"not asked and forbidden for another reason", Trial{Verdict: Verdict{Asked: No}, Through: true, Status: 403}, DemandNone},
		{"unknown", Trial{Verdict: Verdict{Reason: "sealed"}}, DemandUnknown},
		{"page", Trial{Verdict: asked, Through: true, Status: 200}, DemandOptional},
		{"silence", Trial{Verdict: asked, Through: true}, DemandOptional},
		{"400 about a certificate", Trial{Verdict: asked, Through: true, Status: 400, AboutCertificate: true}, DemandHTTP},
		{"403 about a certificate", Trial{Verdict: asked, Through: true, Status: 403, AboutCertificate: true}, DemandHTTP},
		{"403 about something else", Trial{Verdict: asked, Through: true, Status: 403}, DemandOptional},
		{"page about certificates", Trial{Verdict: asked, Through: true, Status: 200, AboutCertificate: true}, DemandOptional},
		{"496", Trial{Verdict: asked, Through: true, Status: 496}, DemandHTTP},
		{"alert", Trial{Verdict: refused, Failure: "alert 116"}, DemandTLS},
		{"hung up without an alert", Trial{Verdict: asked, Failure: "closed"}, DemandUnknown},
		{"misdirected", Trial{Verdict: asked, Through: true, Status: 421}, DemandUnknown},
		{"by renegotiation, and served", Trial{Verdict: later, Through: true, Status: 200}, DemandOptional},
		{"by renegotiation, and forbidden", Trial{Verdict: later, Through: true, Status: 403}, DemandUnknown},
		{"after the handshake, and served", Trial{Verdict: Verdict{Asked: Yes, When: AfterHandshake}, Through: true, Status: 200}, DemandUnknown},
		{"by renegotiation, and ended", Trial{Verdict: Verdict{Asked: Yes, When: InRenegotiation, Required: Yes}, Failure: "alert"}, DemandTLS},
		{"by renegotiation", Trial{Verdict: later, Failure: "closed"}, DemandUnknown},
		{"presented and served", Trial{Verdict: asked, Presented: true, Through: true, Status: 200}, DemandAccepted},
		{"presented and refused by HTTP", Trial{Verdict: asked, Presented: true, Through: true, Status: 400, AboutCertificate: true}, DemandRefused},
		{"presented and refused by TLS", Trial{Verdict: refused, Presented: true, Failure: "alert 48"}, DemandRefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, _ := tt.trial.Demand(); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestProbedInterval(t *testing.T) {
	for _, tt := range []struct {
		asked, not int
		low, high  float64
		ok         bool
	}{
		{0, 0, 0, 1, false},
		{0, 10, 0, 0.2775, true},
		{10, 0, 0.7225, 1, true},
		{5, 5, 0.2366, 0.7634, true},
		{1, 99, 0.0018, 0.0545, true},
	} {
		p := Probed{Asked: tt.asked, NotAsked: tt.not}
		low, high, ok := p.Interval()
		if ok != tt.ok || math.Abs(low-tt.low) > 1e-4 || math.Abs(high-tt.high) > 1e-4 {
			t.Errorf("%d of %d: got %.4f to %.4f, %v", tt.asked, tt.asked+tt.not, low, high, ok)
		}
	}
}

func TestProbedAdd(t *testing.T) {
	var p Probed
	for range 2 {
		p.Add(&Trial{Verdict: Verdict{Asked: Yes, When: InHandshake}, Through: true, Status: 200})
	}
	p.Add(&Trial{Verdict: Verdict{Asked: Yes, When: InHandshake, Required: Yes}, Failure: "alert"})
	p.Add(&Trial{Verdict: Verdict{Asked: No}})
	p.Add(&Trial{Verdict: Verdict{Asked: No, Resumed: true}})
	p.Add(&Trial{Verdict: Verdict{Reason: "why"}})
	for i := range 40 {
		p.Fail(string(rune('a' + i)))
	}
	if p.Sent != 46 || p.Asked != 3 || p.NotAsked != 1 || p.Resumed != 1 || p.Unknown != 1 || p.Failed != 40 {
		t.Errorf("%+v", p)
	}
	if p.Demand != DemandTLS || p.DemandText != "alert" || p.When != InHandshake {
		t.Errorf("demand %v %q, when %v: want the strongest", p.Demand, p.DemandText, p.When)
	}
	if len(p.Reasons) != maxProbedReasons {
		t.Errorf("%d reasons are kept, want %d", len(p.Reasons), maxProbedReasons)
	}
}

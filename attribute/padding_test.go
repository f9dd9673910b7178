package attribute

import (
	"fmt"
	"strings"
	"testing"
)

// TestPaddingNeverWrong: whatever block a client pads to, its flights are never
// taken for those of the opposite meaning, whether the server's flight is one
// record, four or five, or was not captured.
func TestPaddingNeverWrong(t *testing.T) {
	const tag = 16
	wrong, told := 0, 0
	for block := 1; block <= 1100; block++ {
		pad := func(content int) string {
			return fmt.Sprintf("C:23/%d", (content+1+block-1)/block*block+tag)
		}
		for _, suite := range []struct {
			hello    string
			finished int
		}{{"S:hello13", 36}, {"S:hello13+sha384", 52}} {
			fin := suite.finished
			for _, f := range []struct {
				asked    Answer
				contents []int
			}{
				{No, []int{fin}},
				{Yes, []int{emptyCertificate, fin}},
				{Yes, []int{emptyCertificate + fin}},
				{Yes, []int{571, 264, fin}},
				{Yes, []int{571 + 264 + fin}},
			} {
				for _, rest := range [][]int{{alertContent}, {87}, {87, 300, alertContent}} {
					var client []string
					for _, n := range append(append([]int(nil), f.contents...), rest...) {
						client = append(client, pad(n))
					}
					servers := []string{suite.hello + " " + flight1, ""}
					separate := fmt.Sprintf("S:23/855 S:23/281 S:23/%d", fin+1+tag)
					if f.asked == Yes {
						servers = append(servers, suite.hello+" S:23/36 S:23/94 "+separate)
					} else {
						servers = append(servers, suite.hello+" S:23/36 "+separate)
					}
					for _, server := range servers {
						line := "C:hello " + server + " " + strings.Join(client, " ")
						switch got := Judge(script(t, line)); got.Asked {
						case f.asked:
							told++
						case Unknown:
						default:
							if wrong++; wrong <= 20 {
								t.Errorf("block %d: %s: %v by %+v", block, line, got.Asked, got.Evidence)
							}
						}
					}
				}
			}
		}
	}
	t.Logf("%d told, %d wrong", told, wrong)
	if told == 0 {
		t.Error("nothing was told")
	}
}

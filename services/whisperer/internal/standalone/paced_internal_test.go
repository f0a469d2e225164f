package standalone

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/whisperer/internal/receiver"
)

func TestTheDemosLinesLeaveRoomForTheWelcome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var left []int
		seen := paced(time.Second, func(l receiver.Line) { left = append(left, l.Left) })
		for range 25 { // two and a half seconds
			seen(receiver.Line{})
			<-time.After(100 * time.Millisecond)
		}
		require.Equal(t, []int{0, 9, 9}, left)
	})
}

func TestEnterShowsTheWelcomeAgain(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	s := &system{opts: Options{Again: strings.NewReader("\n\n"), Demo: true, Version: "test", Data: "./.whisperer"}, printer: receiver.NewPrinter(&out, false), apiURL: "http://127.0.0.1:8080"}
	s.greetAgain()
	require.Equal(t, 2, strings.Count(out.String(), "Enter shows this again."))
	require.Equal(t, 2, strings.Count(out.String(), "http://127.0.0.1:8080/console/"))
}

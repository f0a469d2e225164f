package bench

import (
	"encoding/xml"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// madeUp returns a soak with the given number of samples.
func madeUp(looks int) *Soak {
	s := &Soak{Maximum: 10_000, Rate: 7000}
	for n := range looks {
		s.Seconds = append(s.Seconds, float64(n+1)*2)
		for i, unit := range []string{unitDeliveries, unitMessages, unitMessages, unitMessages, unitMemory, unitMemory, unitMemory, unitCPU, unitCPU, unitCPU} {
			s.add("figure "+string(rune('a'+i)), unit, 1234.5+900*math.Sin(float64(n*(i+1))))
		}
	}
	return s
}

func TestThePictureOfASoakIsSmallAndWellFormed(t *testing.T) {
	t.Parallel()
	for _, looks := range []int{1, 2, 30, soakLooks} {
		svg, err := madeUp(looks).SVG()
		require.NoError(t, err)
		require.Less(t, len(svg), 60<<10)
		var root struct {
			XMLName xml.Name
			Panels  []struct {
				Lines []struct {
					Points string `xml:"points,attr"`
				} `xml:"polyline"`
			} `xml:"g"`
		}
		require.NoError(t, xml.Unmarshal(svg, &root))
		require.Equal(t, "svg", root.XMLName.Local)
		require.Len(t, root.Panels, 4)
		for _, p := range root.Panels[1:] {
			require.Len(t, p.Lines, 3)
			require.GreaterOrEqual(t, len(strings.Fields(p.Lines[0].Points)), min(looks, dots))
		}
		require.NotContains(t, string(svg), "NaN")
	}
	_, err := (&Soak{}).SVG()
	require.Error(t, err)
}

func TestGrowthIsTheLastThirdOverTheFirst(t *testing.T) {
	t.Parallel()
	s := Series{Values: []float64{1, 2, 3, 50, 60, 70, 5, 4, 6}}
	first, last := s.thirds()
	require.Equal(t, spread{least: 1, middle: 2, most: 3}, first)
	require.Equal(t, spread{least: 4, middle: 5, most: 6}, last)
	require.InDelta(t, 2.5, s.growth(), 1e-9)
	none := Series{}
	require.Zero(t, none.growth())
}

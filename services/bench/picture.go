package bench

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	texttemplate "text/template"
	"time"
)

// Dimensions of a chart, in its own units. Each panel shows the series of one unit; panels are stacked.
const (
	pictureWidth = 860
	plotLeft     = 62
	plotWidth    = pictureWidth - plotLeft - 14
	plotHeight   = 104
	firstPanel   = 96 // top of the first panel's plot
	panelStep    = plotHeight + 58
	// dots is the number of horizontal positions. If there are more values, each position shows their minimum and
	// maximum.
	dots = 160
	// steps is the maximum number of grid lines.
	steps = 5
)

//go:embed soak.svg.tmpl
var soakTemplate string

// panel has the template's data for one panel.
type panel struct {
	Unit  string
	Top   int
	Grid  []gridLine
	Lines []line
}

type gridLine struct{ At, Label string }

type line struct {
	Class, Label string
	LegendAt     int
	Points       string
}

// SVG draws the soak: one panel for each unit, with the time from left to right.
func (s *Soak) SVG() ([]byte, error) {
	if len(s.Seconds) == 0 {
		return nil, errors.New("draw picture: nothing was seen")
	}
	drawing, err := texttemplate.New("soak").Parse(soakTemplate)
	if err != nil {
		return nil, fmt.Errorf("read template of picture: %w", err)
	}
	panels := s.panels()
	bottom := panels[len(panels)-1].Top + plotHeight
	var out bytes.Buffer
	err = drawing.Execute(&out, map[string]any{
		"Title": "Soak: " + s.title(), "Note": "Numbers beside the names: median of the first third → median of the last third.", "Panels": panels, "Times": s.times(),
		"Width": pictureWidth, "Height": bottom + 32, "Left": plotLeft, "Right": plotLeft + plotWidth, "PlotHeight": plotHeight, "Bottom": bottom,
	})
	if err != nil {
		return nil, fmt.Errorf("draw picture: %w", err)
	}
	return out.Bytes(), nil
}

// whole is the total time in seconds.
func (s *Soak) whole() float64 { return max(1, s.Seconds[len(s.Seconds)-1]) }

// times returns the grid lines at whole minutes, or seconds.
func (s *Soak) times() (list []gridLine) {
	unit, name := time.Minute.Seconds(), "min"
	if s.whole() < unit {
		unit, name = 1, "s"
	}
	whole := s.whole() / unit
	for at, step := 0.0, niceStep(whole); at <= whole; at += step {
		list = append(list, gridLine{At: coordinate(plotLeft + plotWidth*at/whole), Label: strconv.FormatFloat(at, 'g', 4, 64) + " " + name})
	}
	return list
}

func (s *Soak) panels() (list []panel) {
	for i := range s.Series {
		if unit := s.Series[i].Unit; i == 0 || unit != s.Series[i-1].Unit {
			list = append(list, s.panel(unit, firstPanel+len(list)*panelStep))
		}
	}
	return list
}

func (s *Soak) panel(unit string, top int) panel {
	p, most := panel{Unit: unit, Top: top}, 1.0
	of := slices.DeleteFunc(slices.Clone(s.Series), func(x Series) bool { return x.Unit != unit })
	for i := range of {
		most = max(most, slices.Max(of[i].Values))
	}
	step := niceStep(most)
	most = math.Ceil(most/step) * step
	height := func(v float64) float64 { return plotHeight - plotHeight*v/most }
	for v := 0.0; v <= most; v += step {
		p.Grid = append(p.Grid, gridLine{At: coordinate(height(v)), Label: thousands(v)})
	}
	for i := range of {
		first, last := of[i].thirds()
		p.Lines = append(p.Lines, line{
			Class: "line" + strconv.Itoa(i), Label: fmt.Sprintf("%s %s → %s", of[i].Name, number(first.middle), number(last.middle)),
			LegendAt: plotLeft + plotWidth*i/3, Points: s.points(of[i].Values, height),
		})
	}
	return p
}

// points returns the points of a line. If several values share a position, it has their minimum and maximum.
func (s *Soak) points(values []float64, height func(float64) float64) string {
	each := (len(values) + dots - 1) / dots
	var out strings.Builder
	for i := 0; i < len(values); i += each {
		some := values[i:min(len(values), i+each)]
		at := plotLeft + plotWidth*s.Seconds[i+len(some)/2]/s.whole()
		of := spreadOf(some)
		fmt.Fprintf(&out, "%s,%s ", coordinate(at), coordinate(height(of.least)))
		if of.most > of.least {
			fmt.Fprintf(&out, "%s,%s ", coordinate(at), coordinate(height(of.most)))
		}
	}
	return strings.TrimSpace(out.String())
}

func coordinate(v float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
}

// niceStep returns a round distance between grid lines up to most.
func niceStep(most float64) float64 {
	rough := most / steps
	power := math.Pow(10, math.Floor(math.Log10(rough)))
	for _, times := range []float64{1, 2, 5} {
		if times*power >= rough {
			return times * power
		}
	}
	return 10 * power
}

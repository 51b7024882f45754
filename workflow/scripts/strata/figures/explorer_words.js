"use strict";

// Elements, and numbers as a reader sees them.

const byId = (id) => document.getElementById(id);

/** An element with properties and children; strings become text, never markup. */
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** The same in SVG, with attributes. */
function drawing(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const minus = (text) => text.replace("-", "−");
const fixed = (value, digits) => minus(value.toFixed(digits));
const isWhole = (depth) => depth % 1 === 0;

/** Nats or bits, to the digits that the page keeps. */
const amount = (value) => fixed(value, value < 0.0995 ? 3 : value < 1.995 ? 2 : value < 19.95 ? 1 : 0);
/** A probability as a share of 1. */
const share = (p) => (p < 0.0005 ? "< 0.001" : p.toFixed(p < 0.0995 ? 3 : 2));

/** A probability in per cent: two digits, and one more near 100 %. */
function percent(logprob) {
  const value = 100 * Math.exp(logprob);
  if (value >= 98.95) return `${value.toFixed(1)} %`;
  if (value >= 9.95) return `${value.toFixed(0)} %`;
  if (value >= 0.001) return `${value.toPrecision(2)} %`;
  let exponent = Math.floor(logprob / Math.LN10 + 2);
  let digits = Math.exp(logprob - (exponent - 2) * Math.LN10).toFixed(1);
  if (digits === "10.0") [digits, exponent] = ["1.0", exponent + 1];
  const raised = String(exponent).replace(/./g, (c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]);
  return `${digits}·10${raised} %`;
}

/** A rank from 0, as one from 1: to two digits where it was rounded. */
function ordinal(rank, exact) {
  if (rank < exact) return (rank + 1).toLocaleString("en");
  return `≈ ${Number((rank + 1).toPrecision(2)).toLocaleString("en")}`;
}

const depthName = (depth) => (isWhole(depth) ? String(depth) : `${Math.floor(depth) || ""}½`);

function depthMeaning(depth) {
  if (depth === 0) return "the embeddings, token and position";
  const block = Math.ceil(depth) - 1;
  return isWhole(depth) ? `the output of block ${block}` : `after the attention of block ${block}, before its MLP`;
}

// The cart lives in the browser until checkout; the server only ever sees SKUs and counts.
const KEY = "minghe.cart.v2";

function load() {
  try {
    return new Map(JSON.parse(localStorage.getItem(KEY) ?? "[]"));
  } catch {
    return new Map();
  }
}

function store(cart) {
  localStorage.setItem(KEY, JSON.stringify([...cart]));
  document.dispatchEvent(new CustomEvent("cart", { detail: [...cart.values()].reduce((a, b) => a + b, 0) }));
}

document.addEventListener("click", (event) => {
  const sku = event.target.dataset?.sku;
  if (!sku) return;
  const cart = load();
  cart.set(sku, Math.min(99, (cart.get(sku) ?? 0) + 1));
  store(cart);
});
